//! The baseline of one value of one subject: median and MAD (median absolute deviation) of its logarithm over the last windows.
//!
//! A fault must not become the baseline. So nothing is learned while the value's alarm is pending or fires, outliers move
//! neither median nor MAD, and the baseline rises by at most 2% a minute, whatever is measured. It falls as fast as the
//! median: a value that has improved is compared with its improved self.

use std::collections::VecDeque;

/// Most windows remembered: 30 minutes of five-second ones. A choice, made for windows of ten seconds and an hour; signals
/// ask for fewer (`Baseline::over`), 60 mostly.
pub(crate) const WINDOWS: usize = 360;
/// Most that a baseline rises in a minute. A choice: what doubles in less than 35 minutes is not learned as normal.
const RISE_PER_MINUTE: f64 = 1.02;
const MINUTE_NS: u64 = 60_000_000_000;
/// Least sigma of the logarithm: 5% of the value. A choice: without it any change of a constant value would be significant.
const LEAST_SIGMA: f64 = 0.05;
/// Standard deviations in a MAD of a normal distribution: 1 / quantile(3/4) (Rousseeuw and Croux 1993).
const SIGMAS_A_MAD: f64 = 1.4826;
/// Windows between two computations of the median, which takes microseconds and moves slowly. A choice.
const COMPUTE_EVERY: u8 = 6;

/// What it takes for a baseline to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learning {
    /// Time since the first value.
    pub age_ns: u64,
    /// Events in the values taken.
    pub events: u64,
    /// `Rules::normal`. If false, every baseline is next to zero, so that only fixed thresholds are left.
    pub compares: bool,
}

impl Default for Learning {
    fn default() -> Self {
        Self::USUAL
    }
}

impl Learning {
    /// Ten minutes and 500 events. A choice: shorter learns from one phase of a periodic job; of 500 events five
    /// lie above the 99th percentile.
    pub const USUAL: Self = Self { age_ns: 10 * MINUTE_NS, events: 500, compares: true };
    /// Least number of events however short the time: what `MIN_EVENTS` asks of a share.
    const LEAST_EVENTS: u64 = 20;

    /// Learning for `age_ns` (`--learn`), from proportionally many events, and at most 500.
    pub fn of(age_ns: u64) -> Self {
        let part = (age_ns as f64 / Self::USUAL.age_ns as f64).min(1.0);
        let events = ((Self::USUAL.events as f64 * part) as u64).max(Self::LEAST_EVENTS);
        Self { age_ns, events, ..Self::USUAL }
    }
}

/// A known baseline.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normal {
    /// The normal value.
    pub value: f64,
    /// Standard deviation of its logarithm, estimated from the MAD.
    pub sigma: f64,
}

impl Normal {
    /// Next to zero, with finite ratios to it.
    const NOTHING: Self = Self { value: 1e-9, sigma: LEAST_SIGMA };

    /// Sigmas above normal; `None` for a value without a logarithm.
    pub fn z(self, value: f64) -> Option<f64> {
        Some((logarithm(value)? - self.value.ln()) / self.sigma)
    }

    /// Ratio to the normal value.
    pub fn times(self, value: f64) -> f64 {
        value / self.value
    }
}

/// The baseline of one value. Takes 80 bytes, and two for each window.
#[derive(Clone, Debug)]
pub struct Baseline {
    depth: u16,
    /// Logarithms in steps of a thousandth, oldest first.
    windows: VecDeque<u16>,
    /// Windows until the median is computed again.
    until_computed: u8,
    since_ns: Option<u64>,
    events: u64,
    /// Baseline and sigma of the logarithm. Single precision is a millionth.
    normal: Option<(f32, f32)>,
    /// When a rise was last allowed.
    rose_ns: u64,
}

impl Default for Baseline {
    fn default() -> Self {
        Self::over(WINDOWS)
    }
}

impl Baseline {
    /// Over this many windows, at most `WINDOWS`.
    pub fn over(windows: usize) -> Self {
        Self {
            depth: windows.clamp(1, WINDOWS) as u16,
            windows: VecDeque::new(),
            until_computed: 0,
            since_ns: None,
            events: 0,
            normal: None,
            rose_ns: 0,
        }
    }

    /// Takes a window's value, made of `events` events. `frozen`: its alarm is not OK, so nothing is learned. True if the
    /// value was taken.
    pub fn take(&mut self, now_ns: u64, value: f64, events: u64, frozen: bool) -> bool {
        let since_ns = *self.since_ns.get_or_insert(now_ns);
        if frozen {
            // Time without learning allows no rise.
            self.rose_ns = now_ns;
            return false;
        }
        let Some(x) = logarithm(value).filter(|_| events > 0) else { return false };
        if self.windows.len() >= usize::from(self.depth) {
            self.windows.pop_front();
        }
        self.windows.push_back(stored(x));
        self.events = self.events.saturating_add(events);
        if self.until_computed == 0 || self.windows.len() < usize::from(COMPUTE_EVERY) {
            self.compute(now_ns.max(since_ns));
        }
        self.until_computed = self.until_computed.checked_sub(1).unwrap_or(COMPUTE_EVERY - 1);
        true
    }

    /// The baseline; `None` before enough is learned.
    pub fn normal(&self, now_ns: u64, learning: Learning) -> Option<Normal> {
        if !learning.compares {
            return Some(Normal::NOTHING);
        }
        let age_ns = now_ns.saturating_sub(self.since_ns?);
        let learned = age_ns >= learning.age_ns && self.events >= learning.events;
        let (value, sigma) = self.normal.filter(|_| learned)?;
        Some(Normal { value: f64::from(value).exp(), sigma: f64::from(sigma) })
    }

    fn compute(&mut self, now_ns: u64) {
        let mut sorted = [0u16; WINDOWS];
        let n = self.windows.len().min(WINDOWS);
        let sorted = &mut sorted[..n];
        for (to, from) in sorted.iter_mut().zip(&self.windows) {
            *to = *from;
        }
        let Some(median) = median(sorted) else { return };
        for x in sorted.iter_mut() {
            *x = x.abs_diff(median);
        }
        let mad = self::median(sorted).map_or(0.0, |mad| f64::from(mad) / STEPS);
        let sigma = (SIGMAS_A_MAD * mad).hypot(LEAST_SIGMA);
        let median = restored(median);
        let value = match self.normal {
            None => median,
            Some((before, _)) => {
                // A minute at most: an hour without values must not allow the rise of an hour.
                let minutes = now_ns.saturating_sub(self.rose_ns).min(MINUTE_NS) as f64 / MINUTE_NS as f64;
                median.min(f64::from(before) + RISE_PER_MINUTE.ln() * minutes)
            }
        };
        self.normal = Some((value as f32, sigma as f32));
        self.rose_ns = now_ns;
    }
}

/// Stored steps in one of the natural logarithm: a step is 0.1% of the value, far below `LEAST_SIGMA`.
const STEPS: f64 = 1000.0;
/// The logarithm stored as 0: of 2^-30, a nanosecond in seconds.
const LEAST: f64 = -20.8;

/// `None` for values without a finite logarithm.
fn logarithm(value: f64) -> Option<f64> {
    (value.is_finite() && value > 0.0).then(|| value.ln())
}

/// The cast saturates: from 1e-9 to 2e19.
fn stored(x: f64) -> u16 {
    ((x - LEAST) * STEPS).round() as u16
}

fn restored(x: u16) -> f64 {
    f64::from(x) / STEPS + LEAST
}

/// The lower of the two middle values; reorders the slice.
fn median(values: &mut [u16]) -> Option<u16> {
    let middle = values.len().checked_sub(1)? / 2;
    Some(*values.select_nth_unstable(middle).1)
}

#[cfg(test)]
mod tests;
