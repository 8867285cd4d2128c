//! Additions to counters that several processors write.

use core::intrinsics::{AtomicOrdering::Relaxed, atomic_xadd};

use weir_abi::Histogram;
use weir_ebpf::histogram;

/// Adds to a counter.
#[inline(always)]
pub(crate) fn add(counter: *mut u64, n: u64) {
    // `core` has no atomic arithmetic for BPF (it lacks compare-and-swap before 5.12); the intrinsic with an unused
    // result is the plain `lock add` that every kernel has.
    // SAFETY: callers pass fields of live map values, 8-aligned by repr(C).
    unsafe { atomic_xadd::<u64, u64, { Relaxed }>(counter, n) };
}

/// Adds to a 32-bit counter.
#[inline(always)]
pub(crate) fn add_u32(counter: *mut u32, n: u32) {
    // SAFETY: as above, 4-aligned.
    unsafe { atomic_xadd::<u32, u32, { Relaxed }>(counter, n) };
}

/// Adds one to a counter of a record: `bump!(record.opened)`.
macro_rules! bump {
    ($record:ident . $($field:tt)+) => {
        // SAFETY: a field of a live map value.
        $crate::atomic::add(unsafe { &raw mut (*$record).$($field)+ }, 1)
    };
}
pub(crate) use bump;

/// Adds to a counter of a record what a sampled socket counts, times the socket's weight:
/// `add_weighted!(record.bytes_sent, n, shift)`.
macro_rules! add_weighted {
    ($record:ident . $field:ident, $n:expr, $shift:expr) => {
        // SAFETY: a field of a live map value.
        $crate::atomic::add(unsafe { &raw mut (*$record).$field }, u64::wrapping_shl($n, u32::from($shift)))
    };
}
pub(crate) use add_weighted;

/// Adds a duration to one of a record's histograms: `observe!(record.latency, ns)`; with a third argument, as often as the
/// socket's weight requires.
macro_rules! observe {
    ($record:ident . $histogram:ident, $ns:expr) => {
        $crate::atomic::observe!($record.$histogram, $ns, 0u8)
    };
    ($record:ident . $histogram:ident, $ns:expr, $shift:expr) => {
        // SAFETY: a field of a live map value.
        $crate::atomic::observe_in(unsafe { &raw mut (*$record).$histogram }, $ns, u32::from($shift))
    };
}
pub(crate) use observe;

#[inline(always)]
pub(crate) fn observe_in(histogram: *mut Histogram, ns: u64, shift: u32) {
    // SAFETY: a field of a live map value.
    add(unsafe { &raw mut (*histogram).sum_ns }, ns.wrapping_shl(shift));
    change_bucket(histogram, ns, 1u32.wrapping_shl(shift));
}

/// Replaces one value of a histogram by another. The histogram need not contain the old value: the bucket's count goes below
/// zero then, and wraps.
#[inline(always)]
pub(crate) fn replace_in(histogram: *mut Histogram, old_ns: u64, new_ns: u64, shift: u32) {
    // SAFETY: a field of a live map value.
    add(unsafe { &raw mut (*histogram).sum_ns }, new_ns.wrapping_sub(old_ns).wrapping_shl(shift));
    change_bucket(histogram, old_ns, 1u32.wrapping_shl(shift).wrapping_neg());
    change_bucket(histogram, new_ns, 1u32.wrapping_shl(shift));
}

#[inline(always)]
fn change_bucket(histogram: *mut Histogram, ns: u64, by: u32) {
    // SAFETY: a field of a live map value.
    add_at(unsafe { &raw mut (*histogram).buckets }, histogram::index(ns), by);
}

/// Adds to one of an array of counters.
#[inline(always)]
pub(crate) fn add_at<const N: usize>(counters: *mut [u32; N], mut index: usize, by: u32) {
    // The compiler knows that the index is in range and would drop the check that the verifier needs; a volatile read
    // makes it forget.
    // SAFETY: a live local.
    index = unsafe { core::ptr::read_volatile(&raw const index) };
    if index < N {
        // SAFETY: a field of a live map value; the index was checked.
        unsafe { add_u32(counters.cast::<u32>().add(index), by) };
    }
}
