//! Whether a window's timing can be believed: Little's law, per view and window.

use weir_engine::{LittlesLaw, View};

/// How far what a window says of rounds can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// Counted and timed concurrency agree.
    Checked,
    /// Nothing speaks against it: too few rounds to tell, or requests from before the window.
    Unchecked,
    /// They disagree: events were lost, or rounds are no requests. Nothing may be raised from this.
    Low,
}

impl Trust {
    /// Of one view of an edge.
    pub fn of(view: &View, window_ns: u64) -> Self {
        match view.littles_law(window_ns) {
            LittlesLaw::Holds { .. } => Self::Checked,
            LittlesLaw::TooFew | LittlesLaw::CutByWindow => Self::Unchecked,
            LittlesLaw::Broken { .. } => Self::Low,
        }
    }

    /// Of several put together: the worst.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Low, _) | (_, Self::Low) => Self::Low,
            (Self::Unchecked, _) | (_, Self::Unchecked) => Self::Unchecked,
            (Self::Checked, Self::Checked) => Self::Checked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_engine::Distribution;

    const MS: u64 = 1_000_000;

    fn view(rounds: u32, in_flight_ns: u64) -> View {
        let mut histogram = weir_abi::Histogram::EMPTY;
        histogram.buckets[40] = rounds;
        histogram.sum_ns = u64::from(rounds) * MS;
        let latency = Distribution::between(&weir_abi::Histogram::EMPTY, &histogram);
        View { rounds: rounds.into(), latency, in_flight_ns, ..View::nothing() }
    }

    #[test]
    fn timing_that_contradicts_itself_is_not_trusted() {
        let window_ns = 5000 * MS;
        assert_eq!(Trust::of(&view(100, 100 * MS), window_ns), Trust::Checked);
        assert_eq!(Trust::of(&view(100, 150 * MS), window_ns), Trust::Low);
        assert_eq!(Trust::of(&view(10, 150 * MS), window_ns), Trust::Unchecked);
        let cut = View { in_flight_before: 1, ..view(100, 50 * MS) };
        assert_eq!(Trust::of(&cut, window_ns), Trust::Unchecked);
    }

    #[test]
    fn together_they_are_as_good_as_the_worst() {
        use Trust::{Checked, Low, Unchecked};
        assert_eq!(Checked.and(Unchecked), Unchecked);
        assert_eq!(Unchecked.and(Low), Low);
        assert_eq!(Checked.and(Checked), Checked);
    }
}
