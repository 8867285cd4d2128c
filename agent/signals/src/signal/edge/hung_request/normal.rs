//! What is normal for the requests of an edge, and from which age on one hangs.

/// No request is called hung before. A choice: a window.
pub(super) const LEAST_AGE_S: f64 = 5.0;
/// Times the normal 99th percentile, and times the longest that was seen while all was well. Choices, with no false alarm
/// in the fault lab's look-alikes (H03, H04, H15).
const TIMES_P99: f64 = 10.0;
const TIMES_LONGEST: f64 = 2.0;

/// What is known once enough is learned.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Normal {
    /// The 99th percentile of answers, seconds.
    pub(super) p99_s: f64,
    /// Answers a second.
    pub(super) rate: f64,
    /// The longest that a request took while all was well, or that those which stayed open from the start were old.
    pub(super) longest_s: f64,
    /// The most that were old at once while all was well.
    pub(super) old: f64,
}

impl Normal {
    /// Requests that are older hang.
    pub(super) fn line_s(&self) -> f64 {
        LEAST_AGE_S.max(TIMES_P99 * self.p99_s).max(TIMES_LONGEST * self.longest_s)
    }
}
