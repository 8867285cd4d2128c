//! Shares of events and their confidence intervals.

/// Least number of events for a share. A choice: of 20 events without a hit, the share may still be 16% (95% confidence).
pub const MIN_EVENTS: u64 = 20;
/// Standard normal quantile of a two-sided interval of 95%.
const Z: f64 = 1.959_963_984_540_054;

/// Hits of a number of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Proportion {
    /// Events that count.
    pub hits: u64,
    /// All events.
    pub events: u64,
}

impl Proportion {
    /// Hits beyond the number of events, as from two counters not read at the same instant, are cut off.
    pub fn new(hits: u64, events: u64) -> Self {
        Self { hits: hits.min(events), events }
    }

    /// The share itself; 0 if there are no events.
    pub fn share(self) -> f64 {
        self.hits as f64 / self.events.max(1) as f64
    }

    /// The 95% confidence interval of the share: Wilson's score interval (1927), which holds for few events and for shares
    /// near 0 and 1, where the normal approximation has no width. 0 to 1 if there are no events.
    pub fn wilson(self) -> (f64, f64) {
        if self.events == 0 {
            return (0.0, 1.0);
        }
        let (n, p) = (self.events as f64, self.share());
        let spread = Z * Z / n;
        let middle = (p + spread / 2.0) / (1.0 + spread);
        let half = (Z / (1.0 + spread)) * (p * (1.0 - p) / n + spread / (4.0 * n)).sqrt();
        // Rounding must not move the ends off 0 and 1.
        let low = if self.hits == 0 { 0.0 } else { (middle - half).clamp(0.0, p) };
        let high = if self.hits == self.events { 1.0 } else { (middle + half).clamp(p, 1.0) };
        (low, high)
    }

    /// Lower end of the interval.
    pub fn low(self) -> f64 {
        self.wilson().0
    }

    /// Upper end of the interval.
    pub fn high(self) -> f64 {
        self.wilson().1
    }

    /// Itself, if it has at least `MIN_EVENTS` events.
    pub fn gated(self) -> Option<Self> {
        (self.events >= MIN_EVENTS).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// From Wilson (1927) as tabulated by R's `prop.test(correct = FALSE)`.
    #[test]
    fn known_intervals() {
        for ((hits, events), (low, high)) in [
            ((0, 10), (0.0, 0.2775)),
            ((3, 3), (0.4385, 1.0)),
            ((5, 20), (0.1119, 0.4687)),
            ((1, 100), (0.0018, 0.0545)),
            ((50, 100), (0.4038, 0.5962)),
        ] {
            let (l, h) = Proportion::new(hits, events).wilson();
            assert!((l - low).abs() < 1e-4 && (h - high).abs() < 1e-4, "{hits} of {events}: {l} to {h}");
        }
    }

    #[test]
    fn too_few_events_are_no_share() {
        assert_eq!(Proportion::new(19, 19).gated(), None);
        assert!(Proportion::new(0, 20).gated().is_some());
    }

    proptest! {
        #[test]
        fn the_share_is_within_and_more_events_narrow_it(hits in any::<u64>(), events in any::<u64>()) {
            let share = Proportion::new(hits, events);
            let (low, high) = share.wilson();
            prop_assert!((0.0..=1.0).contains(&low) && (0.0..=1.0).contains(&high));
            if events > 0 {
                prop_assert!(low <= share.share() && share.share() <= high);
            }
        }

        #[test]
        fn more_events_of_one_share_narrow_it(hits in 0u64..1000, more in 0u64..1000) {
            let events = hits + more;
            let width = |by: u64| {
                let (low, high) = Proportion::new(hits * by, events * by).wilson();
                high - low
            };
            prop_assert!(width(4) <= width(1) + 1e-12);
        }
    }
}
