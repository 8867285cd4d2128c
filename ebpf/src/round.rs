//! The round machine: request and response told apart by who moves data, without reading it.
//!
//! A **round** is one turn of the conversation on one socket. The *initiator's* data opens it, the *responder's* first
//! data answers it, the next data of the initiator ends it. On a client's socket the process initiates by sending and
//! is answered by receiving; on a server's socket it is the mirror image. So one machine serves both ends:
//! `initiate` is send for a client and receive for a server, `respond` the other.
//!
//! For strictly alternating protocols rounds are requests. Where several requests share a round, or data answers
//! nothing, the machine gathers evidence and says so (`Evidence`): such an edge's rounds are a lower bound.

/// The initiator moved last.
const TURN_INITIATOR: u8 = 1;
/// The responder moved last.
const TURN_RESPONDER: u8 = 2;

/// A responder silent for this long has finished its answer; what it says later is a push.
pub const IDLE_NS: u64 = 200_000_000;
/// Initiator data this long after the previous one, with no answer in between, looks like another request. Twice the
/// round-trip time where that is longer.
pub const LATE_NS: u64 = 1_000_000;
/// Unasked runs that cannot be chance.
const MIN_PUSHES: u32 = 8;
/// Operations on a connection before its evidence is judged.
pub const JUDGED_AFTER: u32 = 100;

/// The state of one socket's conversation.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Start of the open (or last) round; 0 before the first.
    pub started_ns: u64,
    /// Last initiator operation.
    pub initiated_ns: u64,
    /// Last responder operation of the round; 0 while unanswered, and when its answer is complete.
    pub answered_ns: u64,
    /// Last responder operation of all.
    pub responded_ns: u64,
    /// Initiator operations.
    pub initiations: u32,
    /// Responder operations.
    pub responses: u32,
    /// Rounds answered.
    pub rounds: u32,
    /// Initiator operations that came late while a round was in flight.
    pub late: u32,
    /// Times the responder spoke again after a silence, with no request in between.
    pub pushes: u32,
    /// Who moved last; 0 while nobody has.
    turn: u8,
    /// A round is open and unanswered.
    in_flight: u8,
    #[doc(hidden)]
    pub _pad: [u8; 2],
}

/// What an operation did. Zero durations mean "nothing ended".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// A round was opened at this time.
    pub opened: bool,
    /// The open round was answered (its latency follows).
    pub answered: bool,
    /// Opening to first answer.
    pub latency_ns: u64,
    /// The previous round is complete (its full latency follows).
    pub completed: bool,
    /// Opening to last answer.
    pub full_latency_ns: u64,
    /// The conversation turned: the read that caused it is where a queue wait is worth recording.
    pub turned: bool,
}

/// What the gathered evidence says of a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// Requests overlap: rounds are a lower bound, latency approximate.
    pub multiplexed: bool,
    /// The responder speaks unasked.
    pub push: bool,
}

impl Round {
    /// The initiator moved data at `now`; `rtt_ns` is the connection's smoothed round trip.
    #[inline(always)]
    pub fn initiate(&mut self, now: u64, rtt_ns: u64) -> Turn {
        let mut turn = Turn::default();
        self.initiations = self.initiations.wrapping_add(1);
        if self.turn != TURN_INITIATOR {
            self.complete(&mut turn);
            self.started_ns = now;
            self.answered_ns = 0;
            self.in_flight = 1;
            self.turn = TURN_INITIATOR;
            turn.opened = true;
            turn.turned = true;
        } else if self.in_flight != 0 {
            let patience = if 2 * rtt_ns > LATE_NS { 2 * rtt_ns } else { LATE_NS };
            if now.saturating_sub(self.initiated_ns) > patience {
                self.late = self.late.wrapping_add(1);
            }
        }
        self.initiated_ns = now;
        turn
    }

    /// The responder moved data at `now`.
    #[inline(always)]
    pub fn respond(&mut self, now: u64) -> Turn {
        let mut turn = Turn::default();
        self.responses = self.responses.wrapping_add(1);
        let silence = now.saturating_sub(self.responded_ns);
        let spoke_before = self.responded_ns != 0;
        self.responded_ns = now;
        if self.in_flight != 0 {
            self.in_flight = 0;
            self.rounds = self.rounds.wrapping_add(1);
            self.answered_ns = now;
            turn.answered = true;
            turn.latency_ns = now.saturating_sub(self.started_ns);
            turn.turned = self.turn == TURN_INITIATOR;
        } else if spoke_before && silence > IDLE_NS {
            // Silent for so long: the answer was complete, and this is something else.
            self.complete(&mut turn);
            self.pushes = self.pushes.wrapping_add(1);
        } else if self.answered_ns != 0 {
            self.answered_ns = now;
        }
        // What is left continues a push, or is the first word of all (a banner).
        self.turn = TURN_RESPONDER;
        turn
    }

    /// Ends an answered round that nothing has followed for `IDLE_NS` (or, with `ending`, at once: the socket closes).
    #[inline(always)]
    pub fn settle(&mut self, now: u64, ending: bool) -> Turn {
        let mut turn = Turn::default();
        if self.in_flight == 0 && (ending || now.saturating_sub(self.answered_ns) > IDLE_NS) {
            self.complete(&mut turn);
        }
        turn
    }

    /// Whether a request waits for its answer; closing the socket now abandons it.
    #[inline(always)]
    pub fn in_flight(&self) -> bool {
        self.in_flight != 0
    }

    /// Gives up the open round, which will never be answered. False if none was open.
    #[inline(always)]
    pub fn abandon(&mut self) -> bool {
        let open = self.in_flight != 0;
        self.in_flight = 0;
        open
    }

    /// The verdict so far, or nothing before `JUDGED_AFTER` operations.
    ///
    /// Late operations over 5% of the initiator's say "multiplexed", unless rounds are so rare that one request in
    /// many pieces (an upload) explains them. Unasked runs over 20% of all the responder's runs say "push", unless they
    /// are so few among its operations (5%) that a long answer with stalls (a lossy download) explains them.
    #[inline(always)]
    pub fn evidence(&self) -> Evidence {
        if self.initiations.wrapping_add(self.responses) < JUDGED_AFTER {
            return Evidence::default();
        }
        Evidence {
            multiplexed: self.late as u64 * 20 > self.initiations as u64
                && self.rounds as u64 * 5 > self.initiations as u64,
            push: self.pushes >= MIN_PUSHES
                && self.pushes as u64 * 5 > self.rounds as u64 + self.pushes as u64
                && self.pushes as u64 * 20 > self.responses as u64,
        }
    }

    #[inline(always)]
    fn complete(&mut self, turn: &mut Turn) {
        if self.answered_ns != 0 {
            turn.completed = true;
            turn.full_latency_ns = self.answered_ns.saturating_sub(self.started_ns);
            self.answered_ns = 0;
        }
    }
}

#[cfg(test)]
mod tests;
