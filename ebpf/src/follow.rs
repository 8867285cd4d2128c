//! Which sockets the data hooks follow while weir keeps to its CPU budget, and what becomes of conversations that nobody
//! watched meanwhile.
//!
//! A followed socket stands for `1 << shift` sockets: what it does is counted that many times, so records hold unbiased
//! estimates. Its weight changes only between two conversations: after a change of the sample (an epoch), a socket's
//! first operation begins anew, as if the socket had just been found.

use weir_abi::{Control, EdgeRecord};
use weir_ebpf::{
    round::Round,
    sampling::in_sample,
    socket::{Socket, UNMOVED},
};

use crate::{
    edge::{self, weigh},
    kernel::{Sock, pointer::Pointer},
    maps::CONTROL,
    track,
};

/// Whether the sample may ever change. Frozen before load (option): where it may not, the verifier takes all of this out
/// of the programs. Looking costs 2 to 3% of the programs' time, most of it the cache line of `CONTROL`.
#[unsafe(no_mangle)]
static SAMPLING: u32 = 0;

#[inline(always)]
fn may_sample() -> bool {
    // SAFETY: a static of this object; volatile because user space replaces the value before loading.
    unsafe { core::ptr::read_volatile(&raw const SAMPLING) != 0 }
}

/// What the socket's counts weigh, as a shift.
#[inline(always)]
pub(crate) fn weight(socket: &Socket) -> u8 {
    if may_sample() { socket.sampling_shift } else { 0 }
}

/// Who is followed now.
#[derive(Clone, Copy)]
pub(crate) struct Sampling {
    shift: u32,
    epoch: u16,
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

    /// A socket stands for itself by its distance from a pointer that stays where it is.
    #[inline(always)]
    fn follows(self, sk: Sock<impl Pointer>) -> bool {
        self.shift == 0 || in_sample(sk.0.distance(self.control), self.shift)
    }
}

/// The first thing a data hook asks; none for a socket that is not in the sample.
#[inline(always)]
pub(crate) fn sampled(sk: Sock<impl Pointer>) -> Option<Sampling> {
    if !may_sample() {
        return Some(Sampling { shift: 0, epoch: 0, control: core::ptr::null() });
    }
    let sampling = Sampling::now()?;
    if sampling.follows(sk) { Some(sampling) } else { None }
}

/// Whether the socket's record tells of its conversation up to now.
#[inline(always)]
pub(crate) fn is_current(sk: Sock<impl Pointer>, socket: &Socket) -> bool {
    !may_sample() || sampled(sk).is_some_and(|sampling| sampling.epoch == socket.sampling_epoch)
}

/// A new socket is of the present sample.
#[inline(always)]
pub(crate) fn join(socket: &mut Socket) {
    if may_sample()
        && let Some(sampling) = Sampling::now()
    {
        socket.sampling_epoch = sampling.epoch;
        socket.sampling_shift = sampling.shift as u8;
    }
}

/// Begins anew where the sample has changed since the socket was last followed.
#[inline(always)]
pub(crate) fn renew(sampling: Sampling, socket: &mut Socket) {
    if may_sample() && socket.sampling_epoch != sampling.epoch {
        begin_anew(sampling.epoch, sampling.shift, socket);
    }
}

#[inline(never)]
fn begin_anew(epoch: u16, shift: u32, socket: &mut Socket) {
    if socket.is_resolved() {
        if let Some(record) = edge::record(socket.edge) {
            track::settle(None, socket, record);
        }
        // How far reading has got since is not known: the next operation asks.
        socket.resolution = UNMOVED;
        socket.round = Round::default();
    }
    socket.arrived_ns = 0;
    socket.sampling_epoch = epoch;
    socket.sampling_shift = shift as u8;
}

/// Ends a round that was open when the sample changed: whether and when it was answered is not known. It counts as in
/// flight up to the change.
#[inline(always)]
pub(crate) fn end_unobserved(socket: &mut Socket, record: *mut EdgeRecord) {
    if !may_sample() {
        return;
    }
    let Some(sampling) = Sampling::now() else { return };
    if socket.sampling_epoch == sampling.epoch || !socket.round.abandon() {
        return;
    }
    // SAFETY: an aligned field of a map value; volatile because user space writes it.
    let since = unsafe { core::ptr::read_volatile(&raw const (*sampling.control).sampling_since_ns) };
    let end = if since > socket.round.started_ns { since } else { socket.round.started_ns };
    let weight = socket.sampling_shift;
    track::take_off(&socket.round, weight, record);
    weigh!(record.unanswered_ns, end - socket.round.started_ns, weight);
    weigh!(record.rounds_unobserved, 1, weight);
}
