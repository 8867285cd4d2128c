//! What is normal for one value of one unit: the median of its logarithm over the last windows, and how far it strays.
//!
//! A fault must not teach itself as normal. So nothing is learned while the value's alarm is pending or fires, outliers
//! move neither median nor MAD, and what is held for normal rises by 2% a minute at most, whatever is measured. It falls
//! as fast as the median does: what got better may not get worse again unnoticed.

use std::collections::VecDeque;

/// Windows remembered at most: an hour of ten-second ones.
pub(crate) const WINDOWS: usize = 360;
/// What is normal may rise by this much in a minute.
const RISE_PER_MINUTE: f64 = 1.02;
const MINUTE_NS: u64 = 60_000_000_000;
/// Nothing strays by less than 5%: a value that never moved would make an event of each last digit.
const LEAST_SIGMA: f64 = 0.05;
/// Of normally distributed values the standard deviation is 1.4826 MADs.
const SIGMAS_A_MAD: f64 = 1.4826;
/// The median is looked at again after so many windows: it costs some microseconds, and moves slowly.
const RECKON_EVERY: u8 = 6;

/// What it takes for something to be known as normal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learning {
    /// Watched for so long.
    pub age_ns: u64,
    /// So many events.
    pub events: u64,
    /// `Rules::normal`. Without, nothing is normal: next to it everything is too much, and only fixed lines are left.
    pub compares: bool,
}

impl Default for Learning {
    fn default() -> Self {
        Self::USUAL
    }
}

impl Learning {
    /// Ten minutes and 500 events.
    pub const USUAL: Self = Self { age_ns: 10 * MINUTE_NS, events: 500, compares: true };
    /// However short: fewer are no sample.
    const LEAST_EVENTS: u64 = 20;

    /// Learning for `age_ns` (`--learn`), from as many events in proportion. Longer asks for no more events than usual.
    pub fn of(age_ns: u64) -> Self {
        let part = (age_ns as f64 / Self::USUAL.age_ns as f64).min(1.0);
        let events = ((Self::USUAL.events as f64 * part) as u64).max(Self::LEAST_EVENTS);
        Self { age_ns, events, ..Self::USUAL }
    }
}

/// What is normal, once it is known.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Normal {
    /// The normal value.
    pub value: f64,
    /// How far its logarithm strays.
    pub sigma: f64,
}

impl Normal {
    /// As good as nothing; ratios to it are numbers still.
    const NOTHING: Self = Self { value: 1e-9, sigma: LEAST_SIGMA };

    /// How many sigmas above normal; none of a value without a logarithm.
    pub fn z(self, value: f64) -> Option<f64> {
        Some((logarithm(value)? - self.value.ln()) / self.sigma)
    }

    /// How many times the normal value.
    pub fn times(self, value: f64) -> f64 {
        value / self.value
    }
}

/// The baseline of one value. Memory: 80 bytes, and two a window.
#[derive(Clone, Debug)]
pub struct Baseline {
    depth: u16,
    /// Logarithms in steps of a thousandth, oldest first.
    windows: VecDeque<u16>,
    /// Windows until the median is looked at again.
    until_reckoned: u8,
    since_ns: Option<u64>,
    events: u64,
    /// Of the logarithm: what is held for normal, and its sigma. Single precision is a millionth.
    normal: Option<(f32, f32)>,
    /// When it was last allowed to rise.
    rose_ns: u64,
}

impl Default for Baseline {
    fn default() -> Self {
        Self::over(WINDOWS)
    }
}

impl Baseline {
    /// Over the last so many windows, of at most `WINDOWS`.
    pub fn over(windows: usize) -> Self {
        Self {
            depth: windows.clamp(1, WINDOWS) as u16,
            windows: VecDeque::new(),
            until_reckoned: 0,
            since_ns: None,
            events: 0,
            normal: None,
            rose_ns: 0,
        }
    }

    /// Takes a window's value, made of so many events. `frozen`: its alarm is not OK, nothing is learned. True if the
    /// value was taken.
    pub fn take(&mut self, now_ns: u64, value: f64, events: u64, frozen: bool) -> bool {
        let since_ns = *self.since_ns.get_or_insert(now_ns);
        if frozen {
            // Time that was not learned from earns no right to rise.
            self.rose_ns = now_ns;
            return false;
        }
        let Some(x) = logarithm(value).filter(|_| events > 0) else { return false };
        if self.windows.len() >= usize::from(self.depth) {
            self.windows.pop_front();
        }
        self.windows.push_back(stored(x));
        self.events = self.events.saturating_add(events);
        if self.until_reckoned == 0 || self.windows.len() < usize::from(RECKON_EVERY) {
            self.reckon(now_ns.max(since_ns));
        }
        self.until_reckoned = self.until_reckoned.checked_sub(1).unwrap_or(RECKON_EVERY - 1);
        true
    }

    /// What is normal; none before enough is learned.
    pub fn normal(&self, now_ns: u64, learning: Learning) -> Option<Normal> {
        if !learning.compares {
            return Some(Normal::NOTHING);
        }
        let age_ns = now_ns.saturating_sub(self.since_ns?);
        let learned = age_ns >= learning.age_ns && self.events >= learning.events;
        let (value, sigma) = self.normal.filter(|_| learned)?;
        Some(Normal { value: f64::from(value).exp(), sigma: f64::from(sigma) })
    }

    fn reckon(&mut self, now_ns: u64) {
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
                // A minute at most: an edge that was silent for an hour has not earned an hour's rise.
                let minutes = now_ns.saturating_sub(self.rose_ns).min(MINUTE_NS) as f64 / MINUTE_NS as f64;
                median.min(f64::from(before) + RISE_PER_MINUTE.ln() * minutes)
            }
        };
        self.normal = Some((value as f32, sigma as f32));
        self.rose_ns = now_ns;
    }
}

/// Steps to one of the logarithm: a thousandth is 0.1% of the value.
const STEPS: f64 = 1000.0;
/// What is stored as 0: 2^-30, a nanosecond in seconds.
const LEAST: f64 = -20.8;

/// None of what has no logarithm.
fn logarithm(value: f64) -> Option<f64> {
    (value.is_finite() && value > 0.0).then(|| value.ln())
}

/// Casts keep within the type's bounds: a nanosecond to 1e19.
fn stored(x: f64) -> u16 {
    ((x - LEAST) * STEPS).round() as u16
}

fn restored(x: u16) -> f64 {
    f64::from(x) / STEPS + LEAST
}

/// The lower of the two in the middle; leaves the slice in another order.
fn median(values: &mut [u16]) -> Option<u16> {
    let middle = values.len().checked_sub(1)? / 2;
    Some(*values.select_nth_unstable(middle).1)
}

#[cfg(test)]
mod tests;
