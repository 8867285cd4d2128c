//! Pointers into the kernel's memory, by what the verifier knows of them.
//!
//! Programs on typed hooks get typed pointers and read through them directly; programs on kprobes get numbers. Code that is
//! generic over `Pointer` serves both, at no cost to the typed ones.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_sk_storage_get, bpf_skc_to_tcp_sock};

/// An address in the kernel's memory.
pub(crate) trait Pointer: Copy {
    /// The value at an offset; zeroes where nothing is mapped.
    fn load<T: Copy>(self, at: usize) -> T;

    /// The pointer at an offset.
    fn follow(self, at: usize) -> Self;

    fn address(self) -> *const c_void;

    /// The distance from an address of the programs' own, as a number to compute with: the same for both kinds.
    fn distance<T>(self, from: *const T) -> u64;

    /// A socket as its `tcp_sock`; none for what is not a full TCP socket.
    fn tcp_sock(self) -> Option<Self>;

    /// A socket's storage in a map; null where there is none.
    fn storage(self, map: *mut c_void, flags: u64) -> *mut c_void;
}

/// BTF-typed.
#[derive(Clone, Copy)]
pub(crate) struct Typed(pub(crate) *const c_void);

impl Pointer for Typed {
    #[inline(always)]
    fn load<T: Copy>(self, at: usize) -> T {
        // SAFETY: the verifier checks offset and size against the pointer's type; a stale pointer reads as zero through
        // the kernel's exception table.
        unsafe { core::ptr::read_volatile(self.0.cast::<u8>().add(at).cast::<T>()) }
    }

    #[inline(always)]
    fn follow(self, at: usize) -> Self {
        Self(self.load(at))
    }

    #[inline(always)]
    fn address(self) -> *const c_void {
        self.0
    }

    /// The verifier allows no arithmetic on an address, but the difference of two is a number.
    #[inline(always)]
    fn distance<T>(self, from: *const T) -> u64 {
        (self.0 as u64).wrapping_sub(from as u64)
    }

    #[inline(always)]
    fn tcp_sock(self) -> Option<Self> {
        // SAFETY: takes any BTF-typed socket and returns null for what is not a full TCP socket.
        let tcp = unsafe { bpf_skc_to_tcp_sock(self.0.cast_mut()) };
        if tcp.is_null() { None } else { Some(Self(tcp.cast())) }
    }

    #[inline(always)]
    fn storage(self, map: *mut c_void, flags: u64) -> *mut c_void {
        // SAFETY: the helper takes any BTF-typed socket, null included, and returns null or a value that lives as long as
        // this program runs.
        unsafe { bpf_sk_storage_get(map, self.0.cast_mut(), core::ptr::null_mut(), flags) }
    }
}

/// A number to the verifier: read through the helper, at about 20 ns a read.
#[derive(Clone, Copy)]
pub(crate) struct Untyped(pub(crate) *const c_void);

impl Pointer for Untyped {
    #[inline(always)]
    fn load<T: Copy>(self, at: usize) -> T {
        let mut value = core::mem::MaybeUninit::<T>::zeroed();
        let from = self.0.wrapping_byte_add(at);
        // SAFETY: the destination is a live local of this size; the helper checks the source, and leaves zeroes if it
        // cannot be read. T is used with plain integers and pointers only.
        unsafe {
            bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, from);
            value.assume_init()
        }
    }

    #[inline(always)]
    fn follow(self, at: usize) -> Self {
        Self(self.load(at))
    }

    #[inline(always)]
    fn address(self) -> *const c_void {
        self.0
    }

    /// From a number no address can be subtracted, only another number: `from` is read back from the stack as one.
    #[inline(always)]
    fn distance<T>(self, from: *const T) -> u64 {
        let place: u64 = Self((&raw const from).cast()).load(0);
        (self.0 as u64).wrapping_sub(place)
    }

    /// Only full sockets, whose `sock` is the head of their `tcp_sock`, come without a type, and callers check their protocol
    /// first.
    #[inline(always)]
    fn tcp_sock(self) -> Option<Self> {
        if self.0.is_null() { None } else { Some(self) }
    }

    /// The helper accepts no number: where such programs run, no record is kept there (`Features::spill_in_map`).
    #[inline(always)]
    fn storage(self, _map: *mut c_void, _flags: u64) -> *mut c_void {
        core::ptr::null_mut()
    }
}
