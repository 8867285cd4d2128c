//! Looking at the head of an edge's first requests and of one in 64 after, for pipelining (`weir_ebpf::pipeline`). One bit comes out; the bytes
//! never leave the program.

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use weir_abi::EdgeRecord;
use weir_ebpf::{
    pipeline::{LOOKED_AT, head_repeats, is_sampled},
    round::Round,
};

use crate::{
    edge::bump,
    kernel::registers::{Call, Data},
    maps::SCRATCH,
};

/// `msg_iov` in `struct msghdr`, which is the same for every 64-bit architecture.
const MSGHDR_IOV: u64 = 16;

/// Samples the request of `length` bytes that opened the round and that the current system call is moving.
#[inline(always)]
pub(crate) fn request(round: &Round, length: u32, record: *mut EdgeRecord) {
    // SAFETY: a field of a live map value.
    let looked_at = unsafe { (&raw const (*record).pipeline_sampled).read_volatile() };
    if is_sampled(round.rounds, looked_at, round.started_ns) {
        look(length, record);
    }
}

#[inline(never)]
fn look(length: u32, record: *mut EdgeRecord) -> Option<()> {
    // Of a vector only the first element: what lies behind it in memory is another's.
    let (buffer, room) = match Call::current()?.data()? {
        Data::Buffer(buffer) => (buffer, u64::from(length)),
        Data::Vector(vector) => read_iovec(vector)?,
        Data::Message(message) => read_iovec(read_user(message.wrapping_add(MSGHDR_IOV))?)?,
    };
    let length = if room < u64::from(length) { room as u32 } else { length };
    let scratch = SCRATCH.get_ptr_mut(0)?;
    let length = if length as usize > LOOKED_AT { LOOKED_AT } else { length as usize };
    // SAFETY: the destination is a map value of LOOKED_AT bytes; the helper checks the source.
    if unsafe { bpf_probe_read_user(scratch.cast(), length as u32, buffer as *const _) } != 0 {
        return None;
    }
    bump!(record.pipeline_sampled);
    // SAFETY: this processor's own value; another program of ours that ran in between costs one wrong sample.
    if head_repeats(unsafe { &*scratch }, length) {
        bump!(record.pipeline_repeated);
    }
    Some(())
}

#[inline(always)]
fn read_iovec(from: u64) -> Option<(u64, u64)> {
    Some((read_user(from)?, read_user(from.wrapping_add(8))?))
}

#[inline(always)]
fn read_user(from: u64) -> Option<u64> {
    let mut value = 0u64;
    // SAFETY: the destination is a live local of 8 bytes; the helper checks the source.
    let failed = unsafe { bpf_probe_read_user((&raw mut value).cast(), 8, from as *const _) } != 0;
    if failed { None } else { Some(value) }
}
