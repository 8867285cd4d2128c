//! When windows end. A window closes on a tick and nowhere else, so that a replay has the windows that were live then.

/// Windows that one engine keeps at once: one bit each in `Ended`.
pub(crate) const MAX_WINDOWS: usize = 8;
/// A tick this much before a window's end is its end: timers fire a little early or late.
const EARLY_NS: u64 = 250_000_000;

/// When a window ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// Never: everything since the start.
    Whole,
    /// After each span; the next window begins there.
    Tumbling {
        /// Nanoseconds.
        span_ns: u64,
    },
    /// The last one to two spans: its beginning moves on after each.
    Sliding {
        /// Half of the window at most, nanoseconds.
        span_ns: u64,
    },
}

impl Schedule {
    pub(crate) fn cadence(self) -> Option<Cadence> {
        match self {
            Self::Whole => None,
            Self::Tumbling { span_ns } | Self::Sliding { span_ns } => Some(Cadence::every(span_ns)),
        }
    }
}

/// Which of an engine's windows: by the order in which their schedules were given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct WindowId(pub(crate) usize);

impl WindowId {
    /// An engine's first window.
    pub const FIRST: Self = Self(0);

    /// The window whose schedule was given after so many others.
    pub fn nth(index: usize) -> Self {
        Self(index)
    }
}

/// Windows that ended with an input.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended(u8);

impl Ended {
    pub(crate) fn add(&mut self, window: usize) {
        self.0 |= 1 << window;
    }

    /// Whether this window did.
    pub fn contains(self, window: WindowId) -> bool {
        window.0 < MAX_WINDOWS && self.0 & (1 << window.0) != 0
    }

    /// Whether none did.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// Something due after each span, on the grid that begins with the stream: however late a tick comes, the next one is judged
/// by the same grid, live and in a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cadence {
    span_ns: u64,
    due_ns: u64,
}

impl Cadence {
    /// Due after each span; not before it is started.
    pub fn every(span_ns: u64) -> Self {
        Self { span_ns: span_ns.max(1), due_ns: u64::MAX }
    }

    /// The grid begins.
    pub fn start(&mut self, now_ns: u64) {
        self.due_ns = now_ns.saturating_add(self.span_ns);
    }

    /// Whether it is due at that time.
    pub fn is_due(&self, now_ns: u64) -> bool {
        now_ns.saturating_add(self.early_ns()) >= self.due_ns
    }

    /// The same at a tick. When it is, it is next due at the grid's first point after that: spans that were missed are
    /// not made up for.
    pub fn tick(&mut self, now_ns: u64) -> bool {
        let is_due = self.is_due(now_ns);
        if is_due {
            let late = (now_ns.saturating_add(self.early_ns()) - self.due_ns) / self.span_ns;
            self.due_ns = self.due_ns.saturating_add((late + 1).saturating_mul(self.span_ns));
        }
        is_due
    }

    /// A quarter of a short span.
    fn early_ns(&self) -> u64 {
        EARLY_NS.min(self.span_ns / 4)
    }
}

/// From when to when a window is, monotonic nanoseconds.
pub(crate) struct Span {
    pub(crate) from_ns: u64,
    pub(crate) to_ns: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;
    const MS: u64 = 1_000_000;

    fn due(ticks: &[u64]) -> Vec<u64> {
        let mut cadence = Cadence::every(5 * S);
        cadence.start(100 * S);
        ticks.iter().copied().filter(|at| cadence.tick(100 * S + at)).collect()
    }

    #[test]
    fn a_tick_a_little_early_or_late_ends_the_window_and_moves_nothing() {
        assert_eq!(
            due(&[S, 4 * S + 760 * MS, 6 * S, 9 * S + 749 * MS, 10 * S, 15 * S]),
            [4 * S + 760 * MS, 10 * S, 15 * S]
        );
    }

    #[test]
    fn after_a_stall_there_is_one_long_window_and_the_grid_goes_on() {
        assert_eq!(due(&[4 * S, 9 * S + 800 * MS, 11 * S, 15 * S]), [9 * S + 800 * MS, 15 * S]);
        assert_eq!(due(&[5 * S, 33 * S, 35 * S]), [5 * S, 33 * S, 35 * S]);
    }

    #[test]
    fn nothing_is_due_before_the_start_and_a_time_without_end_is_no_panic() {
        let mut cadence = Cadence::every(0);
        assert!(!cadence.tick(5));
        cadence.start(u64::MAX - 1);
        assert!(cadence.tick(u64::MAX));
    }

    proptest::proptest! {
        #[test]
        fn the_next_is_always_ahead(steps in proptest::collection::vec(0u64..30 * S, 1..100), span_ns in 1u64..20 * S) {
            let mut cadence = Cadence::every(span_ns);
            cadence.start(0);
            let mut now_ns = 0;
            for step in steps {
                now_ns += step;
                cadence.tick(now_ns);
                proptest::prop_assert!(!cadence.is_due(now_ns));
            }
        }
    }
}
