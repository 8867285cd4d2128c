//! Time to exhaustion of a bounded resource: Holt's linear trend (double exponential smoothing) of its use.

/// The time that `ALPHA` and `BETA` are for; a sample after another time is weighted accordingly. Windows come every 5 s.
pub(crate) const SAMPLE_NS: u64 = 10_000_000_000;
/// Weight of a new sample in the level: half of a step is taken over in 19 s. A choice.
const ALPHA: f64 = 0.3;
/// Weight of the level's new slope in the trend: half is taken over in 135 s. A choice: slow enough for noise to average out,
/// fast enough for a leak that fills its limit within minutes.
const BETA: f64 = 0.05;
/// After a pause longer than this the forecast starts anew: a choice, a minute.
const PAUSE_NS: u64 = 6 * SAMPLE_NS;
/// Least trend, in its standard errors: three sigma, one in 740 of pure noise, which `IN_A_ROW` makes rarer. A choice.
const SIGNIFICANT: f64 = 3.0;
/// Least share of the limit in use. A choice: below it there is time, and start-up looks like a trend.
const NEAR: f64 = 0.6;
/// Most time to exhaustion: an hour. A choice: what a person on call can still prevent.
const SOON_S: f64 = 3600.0;
/// Samples in a row for which all of this must hold: half a minute of windows. A choice.
const IN_A_ROW: u8 = 6;

/// Level and trend of the use of a resource.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Forecast {
    last_ns: Option<u64>,
    level: f64,
    /// Per second.
    trend: f64,
    /// Smoothed square of the prediction error.
    error: f64,
    /// Samples since the start.
    samples: u32,
    /// Samples in a row for which exhaustion was near.
    soon: u8,
}

/// A forecast of exhaustion.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Exhaustion {
    /// Seconds until the limit is reached; 0 if it is.
    pub in_s: f64,
    /// Share of the limit in use.
    pub used: f64,
    /// 60% are in use, exhaustion is less than an hour away and the trend is significant, in each of the last six samples.
    pub is_due: bool,
}

impl Forecast {
    /// Takes a sample of use and limit. `None` when the limit will not be reached, or for the first two samples. Samples that
    /// are not finite, or not later than the last, are ignored.
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
        // Weighted by time, so that twice as many samples adapt no faster.
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
        let error = used - predicted;
        self.level = finite(predicted + alpha * error);
        self.trend = finite(beta * (self.level - before) / dt + (1.0 - beta) * self.trend);
        self.error = finite(self.error + alpha * (error * error - self.error));
    }

    fn time_to(&self, limit: f64) -> Option<f64> {
        if self.level >= limit {
            return Some(0.0);
        }
        let in_s = (limit - self.level) / self.trend;
        (self.trend > 0.0 && in_s.is_finite()).then_some(in_s)
    }

    /// Under pure noise of variance v the trend has variance v * 2b^2 / (a * (4 - 2a - b)) a sample, with a = alpha and
    /// b = alpha * beta (Kalata 1984, for filters of constant gain).
    fn is_significant(&self) -> bool {
        let gain = ALPHA * BETA;
        let of_noise = 2.0 * gain * gain / (ALPHA * (4.0 - 2.0 * ALPHA - gain));
        let error = (self.error * of_noise).sqrt() / (SAMPLE_NS as f64 / 1e9);
        self.trend > SIGNIFICANT * error
    }
}

/// 0 for what overflows.
fn finite(x: f64) -> f64 {
    if x.is_finite() { x } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn fed(used: impl IntoIterator<Item = f64>, limit: f64) -> (Forecast, Vec<Option<Exhaustion>>) {
        let mut forecast = Forecast::default();
        let forecasts = (1..).zip(used).map(|(i, used)| forecast.take(i * SAMPLE_NS, used, limit)).collect();
        (forecast, forecasts)
    }

    #[test]
    fn a_leak_is_forecast_in_time() {
        // One a second of 1,024, from 500 on.
        let (_, forecasts) = fed((0..50).map(|i| 500.0 + 10.0 * f64::from(i)), 1024.0);
        let last = forecasts[40].expect("a trend");
        assert!((last.in_s - (1024.0 - 900.0)).abs() < 5.0, "{last:?}");
        let due = forecasts.iter().position(|e| e.is_some_and(|e| e.is_due));
        // 60% is reached at sample 12; six in a row.
        assert_eq!(due, Some(17), "{forecasts:?}");
    }

    #[test]
    fn a_leak_that_begins_after_a_quiet_hour_is_forecast_too() {
        let used = |i: u32| 600.0 + f64::from(i % 3) + 10.0 * f64::from(i.saturating_sub(360));
        let (_, forecasts) = fed((0..400).map(used), 1024.0);
        assert!(forecasts[..360].iter().flatten().all(|e| !e.is_due), "noise");
        let due = forecasts.iter().position(|e| e.is_some_and(|e| e.is_due)).expect("due");
        assert!((361..385).contains(&due), "{due}");
    }

    #[test]
    fn noise_is_no_trend() {
        let mut state = 1u32;
        let noisy = (0..2000).map(|_| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            700.0 + f64::from(state >> 16) / 327.68 - 100.0
        });
        let (_, forecasts) = fed(noisy, 1024.0);
        let soon = forecasts.iter().flatten().filter(|e| e.in_s < SOON_S).count();
        let due = forecasts.iter().flatten().filter(|e| e.is_due).count();
        assert!(soon > 200 && due < 40, "soon {soon} times, due {due} times");
    }

    #[test]
    fn low_or_falling_use_is_not_due() {
        let (_, forecasts) = fed((0..100).map(|i| f64::from(i) * 0.5), 1024.0);
        assert!(forecasts.iter().flatten().all(|e| !e.is_due), "5% is far");
        let (_, forecasts) = fed((0..100).map(|i| 900.0 - f64::from(i)), 1024.0);
        assert!(forecasts.iter().all(Option::is_none), "{:?}", forecasts.last());
    }

    #[test]
    fn full_is_exhausted_now() {
        let (_, forecasts) = fed([10.0, 10.0, 10.0], 10.0);
        assert_eq!(forecasts[2].map(|e| (e.in_s, e.used)), Some((0.0, 1.0)));
    }

    #[test]
    fn a_pause_starts_anew() {
        let (mut forecast, _) = fed((0..50).map(|i| 500.0 + 10.0 * f64::from(i)), 1024.0);
        assert_eq!(forecast.take(1000 * SAMPLE_NS, 990.0, 1024.0), None);
        assert_eq!(forecast.samples, 1);
    }

    #[test]
    fn twice_as_many_samples_adapt_no_faster() {
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
