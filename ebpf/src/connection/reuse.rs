//! How the threads of a client share its connections.

use aya_ebpf::helpers::generated::bpf_get_current_pid_tgid;
use weir_abi::{EdgeRecord, THREADS_EXPONENT};
use weir_ebpf::{idle_time, round::Round};

use crate::atomic::add_at;

/// A connection is used again: after how long, and by the same thread or by another. Where threads share a pool of
/// connections, a thread that had to wait takes over at once what another has given back.
#[inline(always)]
pub(super) fn by_current(round: &Round, thread: &mut u32, weight: u8, record: *mut EdgeRecord) {
    // SAFETY: no arguments.
    let current = unsafe { bpf_get_current_pid_tgid() } as u32;
    let last = core::mem::replace(thread, current);
    note_thread(current, round.started_ns, record);
    if last == 0 {
        return;
    }
    let idle_ns = round.started_ns.saturating_sub(round.answer_ended_ns());
    // SAFETY: fields of a live map value.
    let counts = unsafe {
        if last == current {
            &raw mut (*record).reused_by_same_thread
        } else {
            &raw mut (*record).reused_by_other_thread
        }
    };
    add_at(counts, idle_time::bucket(idle_ns), 1u32.wrapping_shl(weight.into()));
}

/// Notes that a thread has used the edge. Two processors at once may lose one bit, which the thread's next request sets.
#[inline(always)]
fn note_thread(thread: u32, now: u64, record: *mut EdgeRecord) {
    let epoch = now >> THREADS_EXPONENT;
    let bit = 1u64.wrapping_shl(thread);
    // SAFETY: fields of a live map value.
    unsafe {
        let words: *mut u64 = (&raw mut (*record).threads).cast();
        let before = (*record).threads_epoch;
        if before != epoch {
            // A time that another processor has read slightly earlier does not begin an epoch.
            if before.wrapping_sub(epoch) == 1 {
                return;
            }
            words.add(epoch as usize & 1).write_volatile(0);
            if epoch.wrapping_sub(before) != 1 {
                words.add(!epoch as usize & 1).write_volatile(0);
            }
            (*record).threads_epoch = epoch;
        }
        let word = words.add(epoch as usize & 1);
        let threads = word.read_volatile();
        if threads & bit == 0 {
            word.write_volatile(threads | bit);
        }
    }
}
