//! What became of a server's rounds in a window, and what that says.

use super::Normal;
use crate::signal::prelude::*;
use weir_engine::{Distribution, Service, View, bounds_s};

/// It raises when the callers of at least 5% of the rounds have left, with 95% confidence; it is over below half of that. A
/// choice: less of a server's time does not matter.
const RAISE: f64 = 0.05;
const CLEAR: f64 = 0.025;
/// Fewer callers that leave are an accident. A choice, as in `edge_errors`.
const MIN_LEFT: u64 = 5;
/// So many times what is normal: to raise, to be over. Choices.
const ABOVE_NORMAL: f64 = 2.0;
const WITHIN_NORMAL: f64 = 1.5;
/// No caller gives up sooner. What ends sooner is a good-bye, which expects no answer. A choice: timeouts are set in tens of
/// milliseconds and more (F40: 100 ms), good-byes are over at once.
const PATIENCE_NS: u64 = 10_000_000;
/// Answers so many times slower than normal are what callers give up on. A choice, as `ServiceLatency` has it.
const SLOWER: f64 = 1.5;

/// What became of the rounds of all connections of a server.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    /// Rounds that came to an end, however.
    ended: u64,
    /// Of them: ended by the caller's close, and answers that met a reset.
    broken: u64,
    reset: u64,
    /// Of these: given up by callers of this host, by their own account.
    given_up: u64,
    /// And by callers of which only this end is known: broken after long enough, and perhaps, reset.
    broken_late: u64,
    may_be_late: u64,
    /// Answers to those.
    answers: Distribution,
    /// Of all: to the first byte of the answer.
    work: Distribution,
    /// Spent on rounds that were not answered.
    unanswered_ns: u64,
    /// What callers of this host waited before they gave up, and how many did.
    waited: (u64, u64),
    /// Rounds that the server ended without an answer.
    pub(super) cut_off: u64,
    pub(super) retransmitted: u64,
}

impl Tally {
    /// Adds what an edge's ends saw. Returns how many callers of it may have left.
    pub(super) fn add(&mut self, server: &View, client: Option<&View>) -> u64 {
        let View { rounds, broken, abandoned, resets_received, unanswered_ns, latency, .. } = server;
        let ended = rounds.saturating_add(*broken).saturating_add(*abandoned);
        let broken = (*broken).min(ended);
        // A round that is broken by a reset is one of both.
        let closed_on = broken.max(*resets_received).min(ended);
        let reset = closed_on - broken;
        add(&mut self.ended, ended);
        add(&mut self.broken, broken);
        add(&mut self.reset, reset);
        add(&mut self.unanswered_ns, *unanswered_ns);
        add(&mut self.cut_off, *abandoned);
        add(&mut self.retransmitted, server.retransmitted_segments);
        self.work.merge(latency);
        // Of so much time no more can have been given up, each after long enough.
        let late = |n: u64, ns: u64| n.min(ns / PATIENCE_NS);
        if let Some(client) = client.filter(|client| !client.overlaps()) {
            let given_up = late(client.abandoned, client.unanswered_ns).min(closed_on);
            add(&mut self.given_up, given_up);
            add(&mut self.waited.0, client.unanswered_ns);
            add(&mut self.waited.1, client.abandoned);
            return given_up;
        }
        let broken_late = late(broken, *unanswered_ns);
        add(&mut self.broken_late, broken_late);
        add(&mut self.may_be_late, reset);
        self.answers.merge(latency);
        broken_late.saturating_add(reset)
    }
}

fn add(sum: &mut u64, n: u64) {
    *sum = sum.saturating_add(n);
}

/// A tally in numbers, with what it is compared with.
#[derive(Clone, Debug)]
pub(crate) struct Reading<'a> {
    /// Rounds whose caller had left, of all that came to an end.
    pub(super) left: Proportion,
    /// The same with good-byes and idle connections that were reset: what is learned.
    pub(super) closed_on: Proportion,
    /// Of these: without an answer, and answers that met a reset.
    pub(super) broken: u64,
    pub(super) reset: u64,
    /// Seconds a second that went into such rounds, at least.
    pub(super) wasted: f64,
    /// Mean time to answer, seconds.
    pub(super) work: Option<f64>,
    /// Mean time after which callers of this host gave up.
    pub(super) patience: Option<f64>,
    pub(super) cut_off: u64,
    pub(super) retransmitted: u64,
    pub(super) normal: Option<Normal>,
    /// Of the edge that most callers left, and who they are.
    pub(super) ends: Ends<'a>,
    pub(super) caller: Option<Service>,
}

classes! {
    /// How work comes to be done for callers that have left.
    pub(super) enum Class {
        /// The server has done it, and its answer met a reset.
        Finished = "answered too late",
        /// It was cut off before an answer.
        BrokenOff = "broken off",
    }
}

impl Reading<'_> {
    pub(super) fn new(tally: &Tally, normal: Option<Normal>, seconds: f64) -> Self {
        // Callers elsewhere do not say whether they gave up or only left: they give up on what takes longer than normal.
        let line = normal.map_or(f64::INFINITY, |normal| (SLOWER * normal.work).max(PATIENCE_NS as f64 / 1e9));
        let slow = tally.answers.buckets().filter(|(bucket, _)| bounds_s(*bucket).0 >= line);
        let slow = slow.fold(0u64, |sum, (_, n)| sum.saturating_add(n.into()));
        let elsewhere = tally.broken_late.saturating_add(tally.may_be_late.min(slow));
        let left = tally.given_up.saturating_add(elsewhere);
        let work = tally.work.mean_s();
        // They gave up on what took longest: the mean of all is the least that it was. What the server gave up itself is none
        // of it.
        let finished_s = left.saturating_sub(tally.broken) as f64 * work.unwrap_or(0.0);
        let part = tally.broken as f64 / tally.broken.saturating_add(tally.cut_off).max(1) as f64;
        let broken_s = tally.unanswered_ns as f64 / 1e9 * part;
        Self {
            left: Proportion::new(left, tally.ended),
            closed_on: Proportion::new(tally.broken.saturating_add(tally.reset), tally.ended),
            broken: tally.broken,
            reset: tally.reset,
            wasted: (finished_s + broken_s) / seconds,
            work,
            patience: (tally.waited.1 > 0).then(|| tally.waited.0 as f64 / tally.waited.1 as f64 / 1e9),
            cut_off: tally.cut_off,
            retransmitted: tally.retransmitted,
            normal,
            ends: Ends::default(),
            caller: None,
        }
    }

    pub(super) fn finding(&self) -> Finding {
        let (Some(left), Some(normal)) = (self.left.gated(), self.normal) else { return Finding::NoData };
        let closed_on = self.closed_on.share();
        let above = closed_on >= ABOVE_NORMAL * normal.share;
        if left.low() >= RAISE && left.hits >= MIN_LEFT && above {
            return Finding::Raise(Severity::Warn);
        }
        let is_over = left.share() < CLEAR || closed_on <= WITHIN_NORMAL * normal.share;
        if is_over { Finding::Clear } else { Finding::Between }
    }

    pub(super) fn class(&self) -> Class {
        if self.reset >= self.broken { Class::Finished } else { Class::BrokenOff }
    }

    /// How many times slower than normal the server is, where it is.
    pub(super) fn slower(&self) -> Option<f64> {
        let times = self.work? / self.normal?.work;
        (times >= SLOWER).then_some(times)
    }
}
