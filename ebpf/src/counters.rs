//! The kernel half's own counters (`weir_abi::Counter`).

use weir_abi::Counter;

use crate::{atomic::add, maps::COUNTERS};

/// Adds one.
#[inline(always)]
pub(crate) fn count(counter: Counter) {
    if let Some(value) = COUNTERS.get_ptr_mut(counter as u32) {
        add(value, 1);
    }
}

/// The present value.
#[inline(always)]
pub(crate) fn counted(counter: Counter) -> u64 {
    // SAFETY: an aligned map value.
    COUNTERS.get_ptr(counter as u32).map_or(0, |value| unsafe { core::ptr::read_volatile(value) })
}
