//! Looking at the head of an edge's first requests and of one in 64 after, for pipelining (`weir_ebpf::pipeline`). One bit comes out; the bytes
//! never leave the program.

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use weir_abi::EdgeRecord;
use weir_ebpf::{
    pipeline::{LOOKED_AT, head_repeats, is_sampled},
    round::Round,
};

use crate::{edge::bump, kernel::registers::Call, maps::SCRATCH};

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
    let (buffer, length) = Call::current()?.moved(length)?;
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
