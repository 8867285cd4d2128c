//! What a window says of the requests that are under way.

use super::normal::{LEAST_AGE_S, Normal};
use crate::signal::prelude::*;
use weir_engine::{Distribution, View, middle_s};

/// An edge whose answers normally take so long is one of long polls. A choice: as old as a request must be to hang
/// (`LEAST_AGE_S`); the polls of H03 take 25 s.
const LONG_POLL_S: f64 = 5.0;
/// So many need no share. A choice: one or two may be a stray client.
const MANY: f64 = 3.0;
/// Fewer may be a heartbeat, a report or the wait for an item: they must be older. A choice: such waits end within a
/// minute as a rule.
const FEW_AGE_S: f64 = 60.0;
/// As must those for which nothing else speaks: most queues' clients ask for their next item anew before that (H15 in the
/// fault lab: `BLPOP` with 10 s). A choice.
const ALONE_AGE_S: f64 = 30.0;
/// The part of the connections that wait, from which on it may page. A choice.
const HALF: f64 = 0.5;
/// Goodput below this part of normal is an effect. A choice, the same as that of `edge_errors`.
const GOODPUT_DOWN: f64 = 0.5;
/// Fewer callers that give up are an accident. A choice.
const MIN_ABANDONED: u64 = 3;
/// How far chance moves the number of those under way: two standard deviations of a Poisson distribution.
const SPREAD: f64 = 2.0;

/// What all connections of an edge hold and did.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Requests under way, and how old they are together.
    pub(super) under_way: u64,
    age_ns: u64,
    /// Of them, those that the server has read, and whether some are at servers of which that is not known.
    taken: u64,
    elsewhere: bool,
    connections: u64,
    latency: Distribution,
    abandoned: u64,
    /// Segments retransmitted, by both ends.
    pub(super) retransmitted: u64,
    /// Answers that the server sent, less those that the client read or left.
    pub(super) ahead: i64,
    pub(super) views: u32,
}

impl Tally {
    /// Adds what an edge's sockets say, unless requests overlap on them or their times contradict each other. Returns how
    /// many requests are under way on it.
    pub(super) fn add(&mut self, facts: &EdgeFacts<'_>) -> Option<u64> {
        let here = facts.client().is_some();
        let (view, server) = match facts.client() {
            Some(_) => (facts.client_requests()?, facts.server()),
            None => (facts.server_requests()?, None),
        };
        if server.is_some_and(View::overlaps) {
            return None;
        }
        let add = |sum: &mut u64, n: u64| *sum = sum.saturating_add(n);
        add(&mut self.under_way, view.in_flight);
        add(&mut self.age_ns, view.in_flight_age_ns);
        add(&mut self.connections, view.open_connections);
        add(&mut self.retransmitted, view.retransmitted_segments);
        self.latency.merge(&view.latency);
        // At the server's end a caller that leaves has broken its request off.
        add(&mut self.abandoned, if here { view.abandoned } else { view.broken });
        match server {
            Some(server) => {
                add(&mut self.retransmitted, server.retransmitted_segments);
                let [sent, read, left] =
                    [server.rounds, view.rounds, view.abandoned].map(|n| i64::try_from(n).unwrap_or(i64::MAX));
                self.ahead = self.ahead.saturating_add(sent.saturating_sub(read).saturating_sub(left));
                add(&mut self.taken, server.in_flight.min(view.in_flight));
            }
            // What a server alone counts it has read.
            None if !here => add(&mut self.taken, view.in_flight),
            None => self.elsewhere |= view.in_flight > 0,
        }
        self.views = self.views.saturating_add(1);
        Some(view.in_flight)
    }
}

classes! {
    /// What becomes of requests that hang.
    pub(super) enum Class {
        /// The server has not read them.
        NotRead = "not read",
        /// The server has read them, or it is not known.
        NoAnswer = "no answer",
        /// Packets are lost, those of the request or of the answer.
        Lost = "lost on the way",
    }
}

/// The same in numbers: seconds, and answers a second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    /// Requests whose answer the client still waits for.
    pub(super) under_way: u64,
    pub(super) connections: u64,
    /// Of those under way, how many are old: more than answers come in can be young.
    pub(super) old: f64,
    /// The least that it is, whatever chance does.
    pub(super) surely: f64,
    /// Their mean age.
    pub(super) age_s: f64,
    pub(super) answered: u64,
    pub(super) rate: f64,
    pub(super) p99_s: Option<f64>,
    /// The longest that was answered.
    pub(super) longest_s: f64,
    pub(super) abandoned: u64,
    pub(super) taken: Option<u64>,
    /// Requests that the client's own callers wait for.
    pub(super) callers: u64,
    pub(super) usual: Option<Normal>,
    /// Of an edge on which most are under way.
    pub(super) ends: Ends<'a>,
    /// Segments retransmitted since requests have been old, without those of a full accept queue.
    pub(super) retransmitted: u64,
}

impl Reading<'_> {
    /// `unread`: answered, and not read by the client.
    pub(super) fn new(tally: &Tally, unread: u64, callers: u64, usual: Option<Normal>, seconds: f64) -> Self {
        let under_way = tally.under_way.saturating_sub(unread);
        // How old those are that are not waited for is not known: as the others.
        let age_s = tally.age_ns as f64 / 1e9 * under_way as f64 / tally.under_way.max(1) as f64;
        let (young, young_age_s) = young(&tally.latency, seconds);
        let old = (under_way as f64 - young).max(0.0);
        let answered = tally.latency.count;
        Self {
            under_way,
            connections: tally.connections,
            old,
            surely: (old - SPREAD * young.sqrt()).max(0.0),
            // A part of a request is none.
            age_s: if old >= 0.5 { ((age_s - young_age_s) / old).max(0.0) } else { 0.0 },
            answered,
            rate: answered as f64 / seconds,
            p99_s: tally.latency.quantile_s(0.99),
            longest_s: tally.latency.quantile_s(1.0).unwrap_or(0.0),
            abandoned: tally.abandoned,
            taken: (!tally.elsewhere).then_some(tally.taken),
            callers,
            usual,
            ends: Ends::default(),
            retransmitted: 0,
        }
    }

    /// Some request is old enough to be looked at.
    pub(super) fn is_old(&self) -> bool {
        self.old >= 0.5 && self.age_s >= self.p99_s.unwrap_or(0.0).max(LEAST_AGE_S / 10.0)
    }

    /// The part of the connections that wait so, leaving out as many as usually do.
    pub(super) fn share(&self) -> f64 {
        let usual = self.usual.map_or(0.0, |usual| usual.old);
        ((self.old - usual) / (self.connections as f64 - usual).max(1.0)).clamp(0.0, 1.0)
    }

    pub(super) fn class(&self) -> Class {
        let unread = |taken: u64| self.under_way.saturating_sub(taken) as f64;
        let not_read = self.taken.is_some_and(|taken| 2.0 * unread(taken) > self.old);
        if self.retransmitted > 0 && (not_read || self.taken.is_none()) {
            Class::Lost
        } else if not_read {
            Class::NotRead
        } else {
            Class::NoAnswer
        }
    }

    pub(super) fn finding(&self) -> Finding {
        let class = self.class();
        let Some(usual) = self.usual.filter(|usual| usual.p99_s < LONG_POLL_S) else { return Finding::NoData };
        let line_s = usual.line_s();
        let alone = self.is_alone(class);
        let raise_s = if alone { line_s.max(ALONE_AGE_S) } else { line_s };
        // Those that are always old are usual.
        let more = (self.surely - usual.old).round();
        let enough = more >= MANY || (more >= 1.0 && self.share() >= HALF && self.age_s >= FEW_AGE_S);
        if enough && self.age_s >= raise_s {
            let resource = if class == Class::NotRead { Resource::Queue } else { Resource::Errors };
            let wanted = if self.share() >= HALF { Level::Critical } else { Level::Warn };
            let effect = self.effect(&usual).filter(|_| !alone);
            return Finding::Raise(Severity::of(wanted, Some(resource), effect));
        }
        let is_over = self.old - usual.old < 0.5 || self.age_s < line_s / 2.0;
        if is_over { Finding::Clear } else { Finding::Between }
    }

    /// Nothing but their age speaks for it: the server has read them, no caller gives up, and the client has none
    /// of its own that wait. A queue's
    /// consumers that have run out of items look the same, and there less is answered too.
    fn is_alone(&self, class: Class) -> bool {
        class == Class::NoAnswer && self.abandoned == 0 && 2.0 * (self.callers as f64) < self.old
    }

    fn effect(&self, usual: &Normal) -> Option<Effect> {
        if self.rate <= GOODPUT_DOWN * usual.rate {
            return Some(Effect::GoodputDown);
        }
        (self.abandoned >= MIN_ABANDONED && self.abandoned > self.answered).then_some(Effect::Abandoned)
    }
}

/// How many requests are under way at any moment, and how old they are together, where so many are answered in so long
/// (Little's law): a request of two seconds is under way for two, and one second old on average.
fn young(latency: &Distribution, seconds: f64) -> (f64, f64) {
    let of_ages = latency.buckets().map(|(bucket, n)| f64::from(n) * middle_s(bucket).powi(2) / 2.0);
    (latency.sum_ns as f64 / 1e9 / seconds, of_ages.sum::<f64>() / seconds)
}
