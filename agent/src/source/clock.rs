//! The clock of all records and readings.

use rustix::time::{ClockId, clock_gettime};

/// Monotonic clock, nanoseconds: the same as the kernel half uses.
pub(crate) fn monotonic_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec as u64 * 1_000_000_000 + now.tv_nsec as u64
}
