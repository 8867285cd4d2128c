//! Samples the heads of requests for pipelining (`weir_ebpf::pipelining`): an edge's first, and one in 64 after. The result is
//! one bit; the bytes never leave the program.

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use weir_abi::EdgeRecord;
use weir_ebpf::{
    pipelining::{LOOKED_AT, head_repeats, is_sampled},
    round::Round,
};

use crate::{atomic::bump, kernel::registers::Call, maps::SCRATCH};

/// Samples the request of `length` bytes that opened the round and that the current system call is moving.
#[inline(always)]
pub(crate) fn sample(round: &Round, length: u32, record: *mut EdgeRecord) {
    // SAFETY: a field of a live map value.
    let sampled = unsafe { (&raw const (*record).pipeline_sampled).read_volatile() };
    if is_sampled(round.rounds, sampled, round.started_ns) {
        inspect(length, record);
    }
}

#[inline(never)]
fn inspect(length: u32, record: *mut EdgeRecord) -> Option<()> {
    let (buffer, length) = Call::current()?.moved(length)?;
    let scratch = SCRATCH.get_ptr_mut(0)?;
    let length = if length as usize > LOOKED_AT { LOOKED_AT } else { length as usize };
    // SAFETY: the destination is a map value of LOOKED_AT bytes; the helper checks the source.
    if unsafe { bpf_probe_read_user(scratch.cast(), length as u32, buffer as *const _) } != 0 {
        return None;
    }
    bump!(record.pipeline_sampled);
    // SAFETY: this processor's own value; another of the programs that ran in between costs one wrong sample.
    if head_repeats(unsafe { &*scratch }, length) {
        bump!(record.pipeline_repeated);
    }
    Some(())
}
