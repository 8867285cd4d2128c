//! What is normal for the values of one subject, which are learned together.

use std::array;

use crate::learn::baseline::{Baseline, Learning};

/// Windows that normal is made of: five minutes. A choice; the limit on its rise (2% a minute) is what keeps a fault from
/// becoming normal, not its depth.
const DEPTH: usize = 60;
/// A time of 0, and a number of 0, has no logarithm.
const LEAST: f64 = 1e-6;

/// `N` baselines. A signal names them where it takes them apart: `let [wait_s, work_s] = baselines.all(…)?`.
#[derive(Debug)]
pub(crate) struct Baselines<const N: usize, const WINDOWS: usize = DEPTH>([Baseline; N]);

/// When something is learned, and whether it may be: while an alarm is pending or fires it is not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Learn {
    pub(crate) now_ns: u64,
    pub(crate) frozen: bool,
}

impl<const N: usize, const WINDOWS: usize> Default for Baselines<N, WINDOWS> {
    fn default() -> Self {
        Self(array::from_fn(|_| Baseline::over(WINDOWS)))
    }
}

impl<const N: usize, const WINDOWS: usize> Baselines<N, WINDOWS> {
    /// What is normal for each value, where it is known.
    pub(crate) fn each(&self, now_ns: u64, learning: Learning) -> [Option<f64>; N] {
        self.0.each_ref().map(|baseline| Some(baseline.normal(now_ns, learning)?.value))
    }

    /// What is normal for all of them; none until each is known.
    pub(crate) fn all(&self, now_ns: u64, learning: Learning) -> Option<[f64; N]> {
        let each = self.each(now_ns, learning);
        each.iter().all(Option::is_some).then(|| each.map(Option::unwrap_or_default))
    }

    /// Learns values, each with the number of events that it is made of; none leaves its baseline as it is.
    pub(crate) fn learn(&mut self, learn: Learn, values: [Option<(f64, u64)>; N]) {
        for (baseline, value) in self.0.iter_mut().zip(values) {
            if let Some((value, events)) = value {
                baseline.take(learn.now_ns, value.max(LEAST), events, learn.frozen);
            }
        }
    }
}

/// Values that may be 0, as shares, have no logarithm there: they are learned with a hundredth more.
pub(crate) const OFFSET: f64 = 0.01;

/// What was normal before `OFFSET` was added. A baseline stores logarithms in steps of a thousandth; what that leaves of
/// nothing is below `rounding`, and is 0.
pub(crate) fn without_offset(normal: f64, rounding: f64) -> f64 {
    let value = normal - OFFSET;
    if value < rounding { 0.0 } else { value }
}
