//! When something bounded will be used up: Holt's linear trend (double exponential smoothing) of what is used.

/// Samples come at this distance; others are weighed as if they did.
pub(crate) const SAMPLE_NS: u64 = 10_000_000_000;
/// Weight of a new sample in the level.
const ALPHA: f64 = 0.3;
/// And in the trend.
const BETA: f64 = 0.05;
/// A pause this long says that nobody looked: what was known is too old.
const PAUSE_NS: u64 = 6 * SAMPLE_NS;
/// A trend below so many of its standard errors is noise.
const SIGNIFICANT: f64 = 3.0;
/// Below this share of the limit nothing is near.
const NEAR: f64 = 0.6;
/// Nor in more than an hour.
const SOON_S: f64 = 3600.0;
/// And it must have been so for so many samples in a row.
const IN_A_ROW: u8 = 6;

/// The level and the trend of something used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Forecast {
    last_ns: Option<u64>,
    level: f64,
    /// A second.
    trend: f64,
    /// Mean square of what the prediction was wrong by.
    error: f64,
    /// Samples since it was begun.
    samples: u32,
    soon: u8,
}

/// What lies ahead.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exhaustion {
    /// Seconds until the limit is reached; 0 when it is.
    pub in_s: f64,
    /// Used of the limit.
    pub used: f64,
    /// It is near, soon, the trend is no noise, and has been so for six samples.
    pub is_due: bool,
}

impl Forecast {
    /// Takes how much is used of how much, and says when the rest will be: none when it will not, or when too little is
    /// known. Samples that are no numbers, or no later than the last, are not taken.
    pub fn take(&mut self, now_ns: u64, used: f64, limit: f64) -> Option<Exhaustion> {
        let is_number = used.is_finite() && limit.is_finite() && limit > 0.0;
        if !is_number || self.last_ns.is_some_and(|last_ns| now_ns <= last_ns) {
            return None;
        }
        let dt_ns = self.last_ns.map(|last_ns| now_ns - last_ns).filter(|dt_ns| *dt_ns <= PAUSE_NS);
        match dt_ns {
            None => *self = Self { level: used, samples: 1, ..Self::default() },
            Some(dt_ns) => self.smooth(dt_ns, used),
        }
        self.last_ns = Some(now_ns);
        if self.samples < 3 {
            return None;
        }
        let in_s = self.time_to(limit);
        let share = used / limit;
        let is_soon = share >= NEAR && in_s.is_some_and(|in_s| in_s < SOON_S) && self.is_significant();
        self.soon = if is_soon { self.soon.saturating_add(1) } else { 0 };
        in_s.map(|in_s| Exhaustion { in_s, used: share, is_due: self.soon >= IN_A_ROW })
    }

    fn smooth(&mut self, dt_ns: u64, used: f64) {
        let dt = dt_ns as f64 / 1e9;
        // A sample weighs by the time it stands for, so that twice as many teach no faster.
        let periods = dt_ns as f64 / SAMPLE_NS as f64;
        let (alpha, beta) = (1.0 - (1.0 - ALPHA).powf(periods), 1.0 - (1.0 - BETA).powf(periods));
        self.samples = self.samples.saturating_add(1);
        if self.samples == 2 {
            self.trend = finite((used - self.level) / dt);
            self.level = used;
            return;
        }
        let before = self.level;
        let predicted = before + self.trend * dt;
        let wrong = used - predicted;
        self.level = finite(predicted + alpha * wrong);
        self.trend = finite(beta * (self.level - before) / dt + (1.0 - beta) * self.trend);
        self.error = finite(self.error + alpha * (wrong * wrong - self.error));
    }

    fn time_to(&self, limit: f64) -> Option<f64> {
        if self.level >= limit {
            return Some(0.0);
        }
        let in_s = (limit - self.level) / self.trend;
        (self.trend > 0.0 && in_s.is_finite()).then_some(in_s)
    }

    /// The trend of pure noise of variance v has variance v * 2b^2 / (a * (4 - 2a - b)) a sample, b being alpha * beta
    /// (Kalata's tracking index, for a filter of constant gains).
    fn is_significant(&self) -> bool {
        let gain = ALPHA * BETA;
        let of_noise = 2.0 * gain * gain / (ALPHA * (4.0 - 2.0 * ALPHA - gain));
        let error = (self.error * of_noise).sqrt() / (SAMPLE_NS as f64 / 1e9);
        self.trend > SIGNIFICANT * error
    }
}

/// What overflows is not known.
fn finite(x: f64) -> f64 {
    if x.is_finite() { x } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fed(used: impl IntoIterator<Item = f64>, limit: f64) -> (Forecast, Vec<Option<Exhaustion>>) {
        let mut forecast = Forecast::default();
        let said = (1..).zip(used).map(|(i, used)| forecast.take(i * SAMPLE_NS, used, limit)).collect();
        (forecast, said)
    }

    #[test]
    fn a_leak_is_told_in_time() {
        // One a second of 1,024, from 500 on.
        let (_, said) = fed((0..50).map(|i| 500.0 + 10.0 * f64::from(i)), 1024.0);
        let last = said[40].expect("a trend");
        assert!((last.in_s - (1024.0 - 900.0)).abs() < 5.0, "{last:?}");
        let due = said.iter().position(|e| e.is_some_and(|e| e.is_due));
        // 60% is reached at sample 12; six in a row.
        assert_eq!(due, Some(17), "{said:?}");
    }

    #[test]
    fn a_leak_that_begins_after_a_quiet_hour_is_told_too() {
        let used = |i: u32| 600.0 + f64::from(i % 3) + 10.0 * f64::from(i.saturating_sub(360));
        let (_, said) = fed((0..400).map(used), 1024.0);
        assert!(said[..360].iter().flatten().all(|e| !e.is_due), "noise");
        let due = said.iter().position(|e| e.is_some_and(|e| e.is_due)).expect("due");
        assert!((361..385).contains(&due), "{due}");
    }

    #[test]
    fn noise_is_no_trend() {
        let mut state = 1u32;
        let noisy = (0..2000).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            700.0 + f64::from(state >> 16) / 327.68 - 100.0
        });
        let (_, said) = fed(noisy, 1024.0);
        let soon = said.iter().flatten().filter(|e| e.in_s < SOON_S).count();
        let due = said.iter().flatten().filter(|e| e.is_due).count();
        assert!(soon > 200 && due < 40, "soon {soon} times, due {due} times");
    }

    #[test]
    fn what_stays_far_or_falls_is_not_due() {
        let (_, said) = fed((0..100).map(|i| f64::from(i) * 0.5), 1024.0);
        assert!(said.iter().flatten().all(|e| !e.is_due), "5% is far");
        let (_, said) = fed((0..100).map(|i| 900.0 - f64::from(i)), 1024.0);
        assert!(said.iter().all(Option::is_none), "{:?}", said.last());
    }

    #[test]
    fn what_is_full_is_exhausted_now() {
        let (_, said) = fed([10.0, 10.0, 10.0], 10.0);
        assert_eq!(said[2].map(|e| (e.in_s, e.used)), Some((0.0, 1.0)));
    }

    #[test]
    fn a_pause_begins_anew() {
        let (mut forecast, _) = fed((0..50).map(|i| 500.0 + 10.0 * f64::from(i)), 1024.0);
        assert_eq!(forecast.take(1000 * SAMPLE_NS, 990.0, 1024.0), None);
        assert_eq!(forecast.samples, 1);
    }

    #[test]
    fn twice_as_many_samples_teach_no_faster() {
        let step = |i: u64| if i < 100 { 500.0 } else { 700.0 };
        let mut at = [Forecast::default(), Forecast::default()];
        for i in 1..=400u64 {
            at[0].take(i * SAMPLE_NS / 2, step(i), 1e3);
            if i % 2 == 0 {
                at[1].take(i * SAMPLE_NS / 2, step(i), 1e3);
            }
            let apart = (at[0].level - at[1].level).abs();
            assert!(i < 10 || apart < 90.0, "{i}: {at:?}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics_and_times_are_times(
            samples in prop::collection::vec((any::<u64>(), any::<f64>(), any::<f64>()), 0..300),
            steps in prop::collection::vec((0u64..90, -1e308f64..1e308), 0..300),
        ) {
            let mut forecast = Forecast::default();
            let mut now_ns = 0u64;
            let near = steps.into_iter().map(|(s, used)| {
                now_ns += s * 1_000_000_000;
                (now_ns, used, 1e300)
            });
            for (now_ns, used, limit) in near.chain(samples) {
                if let Some(Exhaustion { in_s, used, .. }) = forecast.take(now_ns, used, limit) {
                    prop_assert!(in_s.is_finite() && in_s >= 0.0 && !used.is_nan());
                }
            }
        }
    }
}
