//! The offset of each field in the running kernel.
//!
//! Rust emits no CO-RE relocations, so user space resolves every offset from the running kernel's BTF and freezes them
//! into `OFFSETS` before loading: to the verifier they are constants.

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use weir_abi::{Features, Offsets};

#[unsafe(no_mangle)]
// SAFETY: Offsets is a repr(C) struct of u32, for which all zeroes is a value.
pub(crate) static OFFSETS: Offsets = unsafe { core::mem::zeroed() };

#[unsafe(no_mangle)]
// SAFETY: likewise.
pub(crate) static FEATURES: Features = unsafe { core::mem::zeroed() };

macro_rules! offset {
    ($field:ident) => {
        // SAFETY: a static of this object; volatile because user space replaces the value before loading.
        unsafe { core::ptr::read_volatile(&raw const $crate::kernel::offsets::OFFSETS.$field) as usize }
    };
}
pub(crate) use offset;

/// A feature of the kernel: a constant to the verifier, which drops the branch that is not taken, unknown helpers
/// included.
macro_rules! frozen {
    ($field:ident) => {
        // SAFETY: as above.
        unsafe { core::ptr::read_volatile(&raw const $crate::kernel::offsets::FEATURES.$field) }
    };
}
pub(crate) use frozen;

/// The value of a field through any pointer: `load!(self.0, skc_family, u16)`.
macro_rules! load {
    ($pointer:expr, $field:ident, $type:ty) => {
        $crate::kernel::pointer::Pointer::load::<$type>($pointer, $crate::kernel::offsets::offset!($field))
    };
}
pub(crate) use load;

/// The same through the helper; none when it fails.
macro_rules! probe {
    ($pointer:expr, $field:ident, $type:ty) => {
        $crate::kernel::offsets::probe_read::<$type>(
            ($pointer).cast::<u8>().wrapping_add($crate::kernel::offsets::offset!($field)).cast(),
        )
    };
}
pub(crate) use probe;

#[inline(always)]
pub(crate) fn probe_read<T: Copy>(from: *const T) -> Option<T> {
    let mut value = core::mem::MaybeUninit::<T>::zeroed();
    // SAFETY: the destination is a live local of this size; the helper checks the source.
    let failed = unsafe { bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, from.cast()) } != 0;
    // SAFETY: zeroed, and T is used with plain integers and pointers only.
    if failed { None } else { Some(unsafe { value.assume_init() }) }
}
