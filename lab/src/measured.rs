//! The applications' own measurements: sums by the second, and a phase's numbers.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Sums of one second (`t`, since 1970) by name.
pub(crate) type Second = BTreeMap<String, f64>;

/// A phase in numbers; those that an application does not report are `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Measured {
    /// Seconds with a report.
    pub(crate) seconds: usize,
    /// The share of checkouts that found no connection free.
    pub(crate) share_waited: Option<f64>,
    /// Callers in the pool's queue, mean over time.
    pub(crate) mean_waiters: Option<f64>,
    /// Time in the queue, mean by checkout.
    pub(crate) mean_wait_s: Option<f64>,
    /// Time that a connection is out of the pool, mean by checkout.
    pub(crate) mean_service_s: Option<f64>,
    /// All sums, divided by the seconds of the phase.
    pub(crate) per_s: BTreeMap<String, f64>,
}

impl Measured {
    /// The seconds that lie wholly between `from` and `until`.
    pub(crate) fn between(seconds: &[Second], from: f64, until: f64) -> Self {
        let t = |second: &Second| second.get("t").copied().unwrap_or(0.0);
        let within: Vec<&Second> = seconds.iter().filter(|s| t(s) >= from && t(s) + 1.0 <= until).collect();
        let mut sums = BTreeMap::<&str, f64>::new();
        for (name, value) in within.iter().copied().flatten().filter(|(name, _)| *name != "t") {
            *sums.entry(name).or_default() += value;
        }
        // By the clock: a second without an end has no report.
        let span = (until.floor() - from.ceil()).max(1.0);
        let of = |part: &str, whole: &str| Some(sums.get(part)? / sums.get(whole).filter(|n| **n > 0.0)?);
        let over_time = |sum: &str| sums.get(sum).map(|sum| sum / span);
        Self {
            seconds: within.len(),
            share_waited: of("waited", "checkouts"),
            mean_waiters: sums.get("checkouts").and_then(|_| over_time("waiting_s").or(Some(0.0))),
            mean_wait_s: of("wait_s", "checkouts"),
            mean_service_s: of("service_s", "checkouts"),
            per_s: sums.iter().map(|(name, sum)| ((*name).to_owned(), sum / span)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn second(t: f64, sums: &[(&str, f64)]) -> Second {
        sums.iter().map(|(name, value)| ((*name).to_owned(), *value)).chain([("t".to_owned(), t)]).collect()
    }

    #[test]
    fn a_phase_is_the_seconds_within_it() {
        let busy = [("checkouts", 10.0), ("waited", 4.0), ("wait_s", 2.0), ("waiting_s", 2.0), ("service_s", 1.0)];
        let seconds = [second(9.0, &[("checkouts", 1000.0)]), second(10.0, &busy), second(12.0, &busy)];
        let measured = Measured::between(&seconds, 9.5, 13.0);
        assert_eq!((measured.seconds, measured.share_waited, measured.mean_wait_s), (2, Some(0.4), Some(0.2)));
        assert_eq!((measured.mean_waiters, measured.mean_service_s), (Some(4.0 / 3.0), Some(0.1)));
        assert_eq!(measured.per_s["checkouts"], 20.0 / 3.0);
    }

    #[test]
    fn what_was_not_reported_is_missing() {
        let nothing = Measured::between(&[], 0.0, 10.0);
        assert_eq!((nothing.share_waited, nothing.mean_waiters, nothing.seconds), (None, None, 0));
        let idle = Measured::between(&[second(1.0, &[("checkouts", 0.0), ("waited", 0.0)])], 0.0, 10.0);
        assert_eq!((idle.share_waited, idle.mean_waiters), (None, Some(0.0)));
    }
}
