//! Rounds: what the conversation's state machine reports is added to the socket's edge.

use weir_abi::{EdgeRecord, InFlight};
use weir_ebpf::{
    round::{Round, RoundEvents},
    socket::{MULTIPLEXED, PUSH, Socket},
};

use super::{bytes, reuse};
use crate::{
    atomic::{add_weighted, bump, observe, replace_in},
    request_head,
    socket_sampling::{self, weight},
};

/// Records the rounds of one operation in the socket's edge.
pub(super) struct RoundRecorder<'a> {
    pub(super) record: *mut EdgeRecord,
    /// `Socket::flags`.
    pub(super) flags: &'a mut u8,
    /// The operation's weight, as a shift.
    pub(super) weight: u8,
    /// How long the data that the operation read had waited; 0 when it read none.
    pub(super) wait_ns: u64,
    /// Bytes that the current system call moves, for `request_head`; 0 when they cannot be read.
    pub(super) bytes: u32,
    /// A client's send: the thread that sent the last request on this connection.
    pub(super) thread: Option<&'a mut u32>,
}

impl RoundRecorder<'_> {
    #[inline(always)]
    fn observe_wait(&self) {
        if self.wait_ns != 0 {
            let record = self.record;
            observe!(record.receive_queue_wait, self.wait_ns, self.weight);
        }
    }
}

impl RoundEvents for RoundRecorder<'_> {
    #[inline(always)]
    fn opened(&mut self, round: &Round) {
        let record = self.record;
        add_weighted!(record.in_flight, InFlight::of(round.started_ns), self.weight);
        self.observe_wait();
        if let Some(thread) = &mut self.thread {
            reuse::by_current(round, thread, self.weight, record);
        }
        if self.bytes != 0 {
            request_head::sample(round, self.bytes, self.record);
        }
    }

    #[inline(always)]
    fn answered(&mut self, round: &Round, latency_ns: u64) {
        let record = self.record;
        observe!(record.latency, latency_ns, self.weight);
        take_off(round, self.weight, record);
        self.observe_wait();
    }

    #[inline(always)]
    fn prolonged(&mut self, first_ns: u64, full_ns: u64) {
        correct_latency(first_ns, full_ns, self.weight, self.record);
    }

    #[inline(always)]
    fn suspected(&mut self, round: &Round) {
        judge(round, self.flags, self.record);
    }
}

/// The round is no longer in flight.
#[inline(always)]
pub(super) fn take_off(round: &Round, weight: u8, record: *mut EdgeRecord) {
    add_weighted!(record.in_flight, InFlight::of(round.started_ns).wrapping_neg(), weight);
}

/// An answer came in several pieces: the whole round took longer than `latency` has it.
#[inline(never)]
fn correct_latency(first_ns: u64, full_ns: u64, weight: u8, record: *mut EdgeRecord) {
    // SAFETY: a field of a live map value.
    replace_in(unsafe { &raw mut (*record).full_latency_correction }, first_ns, full_ns, weight.into());
}

#[inline(never)]
fn judge(round: &Round, flags: &mut u8, record: *mut EdgeRecord) {
    let evidence = round.evidence();
    if evidence.multiplexed && *flags & MULTIPLEXED == 0 {
        *flags |= MULTIPLEXED;
        bump!(record.multiplexed_set);
    }
    if evidence.push && *flags & PUSH == 0 {
        *flags |= PUSH;
        bump!(record.push_set);
    }
}

/// Ends an answered round that has been silent for long at `now` (with none: that no data will follow), and flushes the
/// gathered bytes to the edge.
#[inline(always)]
pub(crate) fn settle(now: Option<u64>, socket: &mut Socket, record: *mut EdgeRecord) {
    end_unobserved(socket, record);
    finish(now, socket, record);
}

#[inline(always)]
pub(super) fn finish(now: Option<u64>, socket: &mut Socket, record: *mut EdgeRecord) {
    let weight = weight(socket);
    let mut recorder = RoundRecorder { record, flags: &mut socket.flags, weight, wait_ns: 0, bytes: 0, thread: None };
    socket.round.settle(now, &mut recorder);
    bytes::flush(socket, record);
}

/// Ends a round that was open when the sample changed: whether and when it was answered is unknown. It counts as in flight up
/// to the change.
#[inline(always)]
pub(super) fn end_unobserved(socket: &mut Socket, record: *mut EdgeRecord) {
    let Some(sampling) = socket_sampling::newer_than(socket) else { return };
    if !socket.round.abandon() {
        return;
    }
    let since = sampling.since_ns();
    let end = if since > socket.round.started_ns { since } else { socket.round.started_ns };
    let weight = socket.sampling_shift;
    take_off(&socket.round, weight, record);
    add_weighted!(record.unanswered_ns, end - socket.round.started_ns, weight);
    add_weighted!(record.rounds_unobserved, 1, weight);
}
