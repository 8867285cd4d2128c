//! The round machine: tells requests from responses by the direction in which data moves, without reading it.
//!
//! A **round** is one turn of the conversation on one socket. The *initiator's* data opens it, the *responder's* first
//! data answers it, the next data of the initiator ends it. On a client's socket the process initiates by sending and
//! is answered by receiving; on a server's socket it is the mirror image. So one machine serves both ends:
//! `initiate` is send for a client and receive for a server, `respond` the other.
//!
//! For strictly alternating protocols rounds are requests. Where several requests share a round, or data answers
//! nothing, the machine gathers evidence of that (`Evidence`): such an edge's rounds are a lower bound.

/// The initiator moved last, and waits for its answer.
const OPEN: u8 = 1;
/// The initiator moved last, and its round was given up.
const GIVEN_UP: u8 = 2;
/// The responder moved last, and its answer may go on.
const ANSWERED: u8 = 3;
/// The responder moved last, and answers nothing any more.
const SETTLED: u8 = 4;

/// A responder silent for this long has finished its answer; what it sends later is a push. A choice.
pub const IDLE_NS: u64 = 200_000_000;
/// Initiator data this long after the previous one, with no answer in between, looks like another request; twice the
/// round-trip time where that is longer. A choice.
pub const LATE_NS: u64 = 1_000_000;
/// Pushes that cannot be chance. A choice.
const MIN_PUSHES: u32 = 8;
/// Operations on a connection before its evidence is judged. A choice.
pub const JUDGED_AFTER: u64 = 100;

/// The state of one socket's conversation. An operation that opens or answers a round writes two or three of these fields; the
/// others are for what is rare.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Last further initiator operation, of this round or an earlier one; before anything has moved: when the connection was
    /// established, where that was seen.
    initiated_ns: u64,
    /// Start of the open (or last) round; 0 before the first.
    pub started_ns: u64,
    /// First operation of the last answer.
    answered_ns: u64,
    /// Last further responder operation, of this answer or an earlier one.
    responded_ns: u64,
    /// Rounds answered.
    pub rounds: u32,
    /// Further initiator operations: those that opened no round.
    initiations: u32,
    /// Further responder operations: those that answered no round.
    responses: u32,
    /// Initiator operations that came late while a round was in flight.
    pub late: u32,
    /// Times the responder sent again after a silence, with no request in between.
    pub pushes: u32,
    /// `OPEN` and its like; 0 before any data has moved.
    state: u8,
    #[doc(hidden)]
    pub _pad: [u8; 3],
}

/// The receiver of a round's events, as they happen: the programs add them to the edge at once, so that no result has to be
/// returned and tested again.
pub trait RoundEvents {
    /// A round began: from here on it is in flight.
    fn opened(&mut self, round: &Round);
    /// It was answered, `latency_ns` after its start.
    fn answered(&mut self, round: &Round, latency_ns: u64);
    /// It is complete, and its answer came in several pieces: it was reported as answered after `first_ns`, and took `full_ns`.
    fn prolonged(&mut self, first_ns: u64, full_ns: u64);
    /// An operation that neither opened nor answered a round: the evidence may suffice now (`Round::evidence`).
    fn suspected(&mut self, round: &Round);
}

/// The verdict on a connection by the gathered evidence.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Requests overlap: rounds are a lower bound, latency approximate.
    pub multiplexed: bool,
    /// The responder sends data that answers no request.
    pub push: bool,
}

impl Round {
    /// The connection has just been established: no other field is read or written.
    #[inline(always)]
    pub fn establish(&mut self, at: u64) {
        self.initiated_ns = at;
    }

    /// When it was established: only at the first call, and before any data has moved; else 0. Of a record that has not `begun`
    /// no other field is initialized.
    #[inline(always)]
    pub fn take_established(&mut self, begun: bool) -> u64 {
        if begun && (self.started_ns != 0 || self.responses != 0) {
            return 0;
        }
        core::mem::take(&mut self.initiated_ns)
    }

    /// The initiator moved data at `now`; `rtt_ns` reads the connection's smoothed round trip.
    #[inline(always)]
    pub fn initiate(&mut self, now: u64, rtt_ns: impl FnOnce() -> u64, events: &mut impl RoundEvents) {
        if self.state != OPEN && self.state != GIVEN_UP {
            self.complete(events);
            self.started_ns = now;
            self.state = OPEN;
            events.opened(self);
            return;
        }
        self.initiations = self.initiations.wrapping_add(1);
        if self.state == OPEN {
            let silence = since(later(self.started_ns, self.initiated_ns), now);
            if silence > LATE_NS && silence > 2 * rtt_ns() {
                self.late = self.late.wrapping_add(1);
            }
        }
        self.initiated_ns = now;
        if self.late != 0 {
            events.suspected(self);
        }
    }

    /// The responder moved data at `now`.
    #[inline(always)]
    pub fn respond(&mut self, now: u64, events: &mut impl RoundEvents) {
        if self.state == OPEN {
            self.rounds = self.rounds.wrapping_add(1);
            self.answered_ns = now;
            self.state = ANSWERED;
            events.answered(self, since(self.started_ns, now));
            return;
        }
        self.responses = self.responses.wrapping_add(1);
        let last = later(self.answered_ns, self.responded_ns);
        if last != 0 && since(last, now) > IDLE_NS {
            // After such a silence: the answer was complete, and this is a push.
            self.complete(events);
            self.pushes = self.pushes.wrapping_add(1);
        } else if self.state != ANSWERED {
            // It continues a push, or is the first data of the connection (a banner).
            self.state = SETTLED;
        }
        self.responded_ns = now;
        if self.pushes != 0 {
            events.suspected(self);
        }
    }

    /// Ends an answered round if no data has followed for `IDLE_NS` at `now` (with none: at once, as the socket closes).
    #[inline(always)]
    pub fn settle(&mut self, now: Option<u64>, events: &mut impl RoundEvents) {
        if self.state != ANSWERED {
            return;
        }
        if let Some(now) = now
            && since(later(self.answered_ns, self.responded_ns), now) <= IDLE_NS
        {
            return;
        }
        self.complete(events);
    }

    /// The answer is complete: it took longer than was reported if it came in several pieces.
    #[inline(always)]
    fn complete(&mut self, events: &mut impl RoundEvents) {
        if self.state == ANSWERED && self.responded_ns > self.answered_ns {
            events.prolonged(since(self.started_ns, self.answered_ns), since(self.started_ns, self.responded_ns));
        }
        self.state = SETTLED;
    }

    /// Whether a request waits for its answer; closing the socket now abandons it.
    #[inline(always)]
    pub fn in_flight(&self) -> bool {
        self.state == OPEN
    }

    /// Gives up the open round, which will never be answered. False if none was open.
    #[inline(always)]
    pub fn abandon(&mut self) -> bool {
        let open = self.state == OPEN;
        if open {
            self.state = GIVEN_UP;
        }
        open
    }

    /// When the last answer ended; 0 before the first.
    #[inline(always)]
    pub fn answer_ended_ns(&self) -> u64 {
        later(self.answered_ns, self.responded_ns)
    }

    /// Time of the last operation, either way; before the first, of the handshake, where that was seen, or 0.
    #[inline(always)]
    pub fn last_ns(&self) -> u64 {
        later(later(self.started_ns, self.initiated_ns), self.answer_ended_ns())
    }

    /// The verdict so far, or nothing before `JUDGED_AFTER` operations.
    ///
    /// Multiplexed: late operations are over 5% of the initiator's, unless rounds are so rare (under 20%) that one request in
    /// many pieces (an upload) explains them. Push: pushes are over 20% of pushes and answers, unless they are so few among the
    /// responder's operations (5%) that a long answer with stalls (a lossy download) explains them. The shares are choices.
    #[inline(always)]
    pub fn evidence(&self) -> Evidence {
        let initiations = self.rounds as u64 + self.initiations as u64;
        let responses = self.rounds as u64 + self.responses as u64;
        if initiations + responses < JUDGED_AFTER {
            return Evidence::default();
        }
        Evidence {
            multiplexed: self.late as u64 * 20 > initiations && self.rounds as u64 * 5 > initiations,
            push: self.pushes >= MIN_PUSHES
                && self.pushes as u64 * 5 > self.rounds as u64 + self.pushes as u64
                && self.pushes as u64 * 20 > responses,
        }
    }
}

/// The later of two times.
#[inline(always)]
fn later(a: u64, b: u64) -> u64 {
    if a > b { a } else { b }
}

/// From `then` to `now`; 0 where the clocks of two processors disagree on the order. One signed comparison: an unsigned one costs
/// two branches.
#[inline(always)]
fn since(then: u64, now: u64) -> u64 {
    let passed = now.wrapping_sub(then);
    if passed as i64 > 0 { passed } else { 0 }
}

#[cfg(test)]
mod tests;
