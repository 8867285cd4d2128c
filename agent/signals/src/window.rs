//! How long a window is, and when one ends.

/// Decisions are made on windows of this length.
pub const WINDOW_NS: u64 = 5_000_000_000;

/// A time, by both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Monotonic nanoseconds: the only one that is reckoned with.
    pub monotonic_ns: u64,
    /// Nanoseconds since 1970: only shown.
    pub unix_ns: u64,
}
