//! Which sockets the data hooks observe while weir keeps to its CPU budget, and the weight of what they count.
//!
//! A sampled socket stands for `1 << shift` sockets: what it does is counted that many times, so records hold unbiased
//! estimates. Its weight changes only between two conversations: after a change of the sample (an epoch), a socket's
//! first operation restarts its conversation (`crate::connection::adopt`), as if the socket had just been found.

use weir_abi::Control;
use weir_ebpf::{sampling_hash::in_sample, socket::Socket};

use crate::{
    kernel::{Sock, pointer::Pointer},
    maps::CONTROL,
};

/// Whether the sample may ever change. Frozen before load (option): where it may not, the verifier removes all of this from
/// the programs. Checking costs 2 to 3% of the programs' time, most of it the cache line of `CONTROL`.
#[unsafe(no_mangle)]
static SAMPLING: u32 = 0;

#[inline(always)]
fn may_sample() -> bool {
    // SAFETY: a static of this object; volatile because user space replaces the value before loading.
    unsafe { core::ptr::read_volatile(&raw const SAMPLING) != 0 }
}

/// The weight of the socket's counts, as a shift.
#[inline(always)]
pub(crate) fn weight(socket: &Socket) -> u8 {
    if may_sample() { socket.sampling_shift } else { 0 }
}

/// The present sample.
#[derive(Clone, Copy)]
pub(crate) struct Sampling {
    pub(crate) shift: u32,
    pub(crate) epoch: u16,
    control: *const Control,
}

impl Sampling {
    #[inline(always)]
    fn now() -> Option<Self> {
        let control = CONTROL.get_ptr(0)?;
        // Shift and epoch belong together: one load.
        // SAFETY: an aligned map value that begins with both; volatile because user space writes it.
        let word = unsafe { core::ptr::read_volatile(control.cast::<u64>()) };
        Some(Self { shift: word as u32, epoch: (word >> 32) as u16, control })
    }

    /// A socket is identified by its distance from an address that does not change.
    #[inline(always)]
    fn includes(self, sk: Sock<impl Pointer>) -> bool {
        self.shift == 0 || in_sample(sk.0.distance(self.control), self.shift)
    }

    /// Whether the sample has changed since the socket was last observed.
    #[inline(always)]
    pub(crate) fn is_newer_than(self, socket: &Socket) -> bool {
        may_sample() && socket.sampling_epoch != self.epoch
    }

    /// When this sample was chosen.
    #[inline(always)]
    pub(crate) fn since_ns(self) -> u64 {
        // SAFETY: an aligned field of a map value; volatile because user space writes it.
        unsafe { core::ptr::read_volatile(&raw const (*self.control).sampling_since_ns) }
    }
}

/// The first check of a data hook: the present sample; none if the socket is not in it.
#[inline(always)]
pub(crate) fn sampled(sk: Sock<impl Pointer>) -> Option<Sampling> {
    if !may_sample() {
        return Some(Sampling { shift: 0, epoch: 0, control: core::ptr::null() });
    }
    let sampling = Sampling::now()?;
    if sampling.includes(sk) { Some(sampling) } else { None }
}

/// Whether the socket's record describes its conversation up to now.
#[inline(always)]
pub(crate) fn is_current(sk: Sock<impl Pointer>, socket: &Socket) -> bool {
    !may_sample() || sampled(sk).is_some_and(|sampling| sampling.epoch == socket.sampling_epoch)
}

/// The present sample where it is not the one that the socket was last observed in.
#[inline(always)]
pub(crate) fn newer_than(socket: &Socket) -> Option<Sampling> {
    if !may_sample() {
        return None;
    }
    Sampling::now().filter(|sampling| socket.sampling_epoch != sampling.epoch)
}

/// Assigns a new socket to the present sample.
#[inline(always)]
pub(crate) fn join(socket: &mut Socket) {
    if may_sample()
        && let Some(sampling) = Sampling::now()
    {
        socket.sampling_epoch = sampling.epoch;
        socket.sampling_shift = sampling.shift as u8;
    }
}
