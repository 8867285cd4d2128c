//! What became of an edge's calls in a window, and what that says.

use weir_abi::ConnectOutcome;

use crate::signal::prelude::*;
use weir_engine::View;

/// It raises when at least 2% of calls fail, with 95% confidence. A choice; the confidence is what the fault lab needs: without,
/// a rolling restart (H07) is a false alarm.
const RAISE: f64 = 0.02;
/// And is well again below 0.5%. A choice: a quarter of the raise line.
const CLEAR: f64 = 0.005;
/// Fewer failures are an accident. A choice: one client that retries fails this often.
const MIN_FAILURES: u64 = 5;
/// From here on it is worth a page, if there is an effect. A choice: every fifth call.
const CRITICAL: f64 = 0.20;
/// So many connects, none of which succeeds, need no share. A choice: the fewest that are no stray one.
const MIN_NONE_SUCCEED: u64 = 3;
/// An edge's requests without an answer are as normal within half as many more. A choice.
const WITHIN_NORMAL: f64 = 1.5;
/// Goodput below this part of normal is an effect. A choice: load moves by less within a minute.
const GOODPUT_DOWN: f64 = 0.5;

classes! {
    /// How a call fails.
    pub(super) enum Cause {
        Refused = "refused",
        Timeout = "timeout",
        Unreachable = "unreachable",
        Reset = "reset",
        /// A connect that failed for another reason, such as a local firewall's.
        ConnectError = "connect_error",
        /// The server closed while the request waited.
        Broken = "broken",
        /// The caller did.
        Abandoned = "abandoned",
    }
}

impl Cause {
    pub(super) const ALL: [Self; 7] = [
        Self::Refused,
        Self::Timeout,
        Self::Unreachable,
        Self::Reset,
        Self::ConnectError,
        Self::Broken,
        Self::Abandoned,
    ];
}

/// One window's calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    /// Connects that succeeded.
    pub(super) connected: u64,
    /// By `Cause`.
    pub(super) failed: [u64; Cause::ALL.len()],
    pub(super) answered: u64,
    /// Not this edge's fault: no local port was free.
    pub(super) no_port: u64,
    /// Segments retransmitted, which may or may not include SYNs.
    pub(super) retransmitted: u64,
    /// Mean time to a failed connect: sum and number.
    pub(super) failed_ns: u64,
    pub(super) failed_timed: u64,
    /// Rounds are no requests, or only a sample of them was seen.
    rounds_mislead: bool,
}

impl Tally {
    /// Adds what an edge did, as its client sees it; connects that are no failure (`excused`) are left out.
    pub(super) fn add(&mut self, facts: &EdgeFacts<'_>, excused: bool) {
        // The far end's view of the same: who gives up there cuts off here.
        let (view, timed, mirrored) = match (facts.client(), facts.server()) {
            (Some(view), _) => (view, facts.client_timed(), false),
            (None, Some(view)) => (view, facts.server_timed(), true),
            (None, None) => return,
        };
        let View { connects, rounds, abandoned, broken, retransmitted_segments, connect_failed_latency, .. } = view;
        let of = |outcome: ConnectOutcome| connects[outcome];
        self.connected = self.connected.saturating_add(of(ConnectOutcome::Ok));
        self.no_port = self.no_port.saturating_add(of(ConnectOutcome::AddressNotAvailable));
        if !excused {
            // Cancelled is not failed: a client that dials several addresses at once closes those that lose.
            self.fail(Cause::Refused, of(ConnectOutcome::Refused));
            self.fail(Cause::Timeout, of(ConnectOutcome::Timeout));
            self.fail(Cause::Unreachable, of(ConnectOutcome::Unreachable));
            self.fail(Cause::Reset, of(ConnectOutcome::Reset));
            self.fail(Cause::ConnectError, of(ConnectOutcome::Other));
            self.failed_ns = self.failed_ns.saturating_add(connect_failed_latency.sum_ns);
            self.failed_timed = self.failed_timed.saturating_add(connect_failed_latency.count);
        }
        let (by_client, by_server) = if mirrored { (broken, abandoned) } else { (abandoned, broken) };
        self.fail(Cause::Abandoned, *by_client);
        self.fail(Cause::Broken, *by_server);
        self.answered = self.answered.saturating_add(*rounds);
        self.retransmitted = self.retransmitted.saturating_add(*retransmitted_segments);
        self.rounds_mislead |= timed.is_none();
    }

    /// Rounds were those of a sample of sockets: one that fails stands for many, and no share of them is a count.
    pub(super) fn rounds_are_estimates(&mut self) {
        self.rounds_mislead = true;
    }

    fn fail(&mut self, cause: Cause, n: u64) {
        let sum = &mut self.failed[cause as usize];
        *sum = sum.saturating_add(n);
    }

    pub(super) fn of(&self, cause: Cause) -> u64 {
        self.failed[cause as usize]
    }

    /// Connects that failed, of all.
    pub(super) fn connects(&self) -> Proportion {
        let failed = self.failed[..Cause::Broken as usize].iter().fold(0u64, |sum, n| sum.saturating_add(*n));
        Proportion::new(failed, failed.saturating_add(self.connected))
    }

    /// Requests that got no answer, of all that came to an end; none where they cannot be believed.
    pub(super) fn requests(&self) -> Option<Proportion> {
        let unanswered = self.of(Cause::Broken).saturating_add(self.of(Cause::Abandoned));
        (!self.rounds_mislead).then_some(Proportion::new(unanswered, unanswered.saturating_add(self.answered)))
    }

    /// Connects and requests that succeeded.
    pub(super) fn good(&self) -> u64 {
        self.connected.saturating_add(self.answered)
    }

    /// Which cause weighs most.
    pub(super) fn worst(&self) -> Cause {
        let most = Cause::ALL.into_iter().max_by_key(|cause| (self.of(*cause), std::cmp::Reverse(*cause)));
        most.unwrap_or(Cause::Refused)
    }
}

/// What is known of the edge from before.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Before {
    /// The share of requests without an answer that is normal for it; none before it is learned.
    pub(super) unanswered: Option<f64>,
    /// Calls a second that normally succeed.
    pub(super) goodput: Option<f64>,
    /// Something has succeeded in an earlier window.
    pub(super) worked: bool,
}

/// A tally with what it is compared with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    pub(super) tally: Tally,
    pub(super) before: Before,
    pub(super) seconds: f64,
    /// Calls that failed beyond what is normal, of all.
    pub(super) calls: Proportion,
    /// No connect succeeded, and it is not for want of trying.
    pub(super) none_connect: bool,
    /// Of an edge that fails, if one does.
    pub(super) ends: Ends<'a>,
}

impl Reading<'_> {
    pub(super) fn new(tally: Tally, before: Before, seconds: f64) -> Self {
        let connects = tally.connects();
        // Requests without an answer may be how a client says good-bye (PostgreSQL's Terminate, TLS's close_notify), or how
        // it always speaks (a log shipper). Only what is more than normal is a failure; before that is known, none is.
        let requests = tally.requests().zip(before.unanswered).map(|(requests, normal)| {
            let allowed = (requests.events as f64 * normal * WITHIN_NORMAL) as u64;
            Proportion::new(requests.hits.saturating_sub(allowed), requests.events)
        });
        let requests = requests.unwrap_or(Proportion::new(0, tally.answered));
        let (hits, events) =
            (connects.hits.saturating_add(requests.hits), connects.events.saturating_add(requests.events));
        let none_connect = connects.hits == connects.events && connects.hits >= MIN_NONE_SUCCEED;
        Self { tally, before, seconds, calls: Proportion::new(hits, events), none_connect, ends: Ends::default() }
    }

    pub(super) fn finding(&self, rules: Rules) -> Finding {
        let share = self.calls.gated();
        let many = share.is_some_and(|share| rules.least(share) >= RAISE) && self.calls.hits >= MIN_FAILURES;
        if self.none_connect || many {
            return Finding::Raise(Severity::of(self.wanted(rules), Some(Resource::Errors), self.effect(rules)));
        }
        match share {
            _ if self.calls.events == 0 => Finding::NoData,
            // Of few calls there is no share, but none failed is none.
            _ if self.calls.hits == 0 => Finding::Clear,
            Some(share) if share.share() < CLEAR => Finding::Clear,
            _ => Finding::Between,
        }
    }

    fn wanted(&self, rules: Rules) -> Level {
        let many = self.calls.gated().is_some_and(|share| rules.least(share) >= CRITICAL);
        if self.none_connect || many { Level::Critical } else { Level::Warn }
    }

    /// What callers notice. What never worked is no worse than before.
    fn effect(&self, rules: Rules) -> Option<Effect> {
        let goodput = self.tally.good() as f64 / self.seconds;
        if self.before.worked && self.none_connect && self.tally.answered == 0 {
            let turned_away = self.tally.worst() == Cause::Refused;
            return Some(if turned_away { Effect::Refused } else { Effect::GoodputDown });
        }
        if self.before.goodput.is_some_and(|normal| goodput <= GOODPUT_DOWN * normal) {
            return Some(Effect::GoodputDown);
        }
        let abandoned = self.before.unanswered.is_some() && self.tally.worst() == Cause::Abandoned;
        (abandoned && rules.least(self.calls) >= CRITICAL).then_some(Effect::Abandoned)
    }
}

#[cfg(test)]
mod tests;
