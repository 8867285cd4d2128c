use super::*;
use proptest::prelude::*;

const MS: u64 = 1_000_000;

/// The events of one operation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Turn {
    opened: bool,
    answered: bool,
    latency_ns: u64,
    prolonged: Option<(u64, u64)>,
    suspected: bool,
}

impl RoundEvents for Turn {
    fn opened(&mut self, _round: &Round) {
        self.opened = true;
    }

    fn answered(&mut self, _round: &Round, latency_ns: u64) {
        self.answered = true;
        self.latency_ns = latency_ns;
    }

    fn prolonged(&mut self, first_ns: u64, full_ns: u64) {
        self.prolonged = Some((first_ns, full_ns));
    }

    fn suspected(&mut self, _round: &Round) {
        self.suspected = true;
    }
}

/// A round whose operations return their events.
#[derive(Default)]
struct Talk(Round);

impl Talk {
    fn initiate(&mut self, now: u64, rtt_ns: u64) -> Turn {
        let mut turn = Turn::default();
        self.0.initiate(now, || rtt_ns, &mut turn);
        turn
    }

    fn respond(&mut self, now: u64) -> Turn {
        let mut turn = Turn::default();
        self.0.respond(now, &mut turn);
        turn
    }

    fn settle(&mut self, now: u64, ending: bool) -> Turn {
        let mut turn = Turn::default();
        self.0.settle((!ending).then_some(now), &mut turn);
        turn
    }
}

impl std::ops::Deref for Talk {
    type Target = Round;

    fn deref(&self) -> &Round {
        &self.0
    }
}

impl std::ops::DerefMut for Talk {
    fn deref_mut(&mut self) -> &mut Round {
        &mut self.0
    }
}

#[test]
fn a_request_and_its_answer() {
    let mut round = Talk::default();
    let opened = round.initiate(1000, 0);
    assert!(opened.opened && opened.prolonged.is_none());
    assert!(round.in_flight());
    let answered = round.respond(4000);
    assert!(answered.answered);
    assert_eq!(answered.latency_ns, 3000);
    // The answer's second piece belongs to the same round.
    assert_eq!(round.respond(9000), Turn::default());
    let next = round.initiate(10_000, 0);
    assert!(next.opened);
    assert_eq!(next.prolonged, Some((3000, 8000)));
    assert_eq!(round.rounds, 1);
}

#[test]
fn a_request_in_pieces_is_one_round() {
    let mut round = Talk::default();
    assert!(round.initiate(1000, 0).opened);
    assert!(!round.initiate(2000, 0).opened);
    assert_eq!(round.respond(5000).latency_ns, 4000);
    assert_eq!(round.late, 0);
}

#[test]
fn a_banner_opens_no_round() {
    let mut round = Talk::default();
    assert_eq!(round.respond(1000), Turn::default());
    assert_eq!(round.pushes, 0);
    assert!(round.initiate(2000, 0).opened);
    assert!(round.respond(3000).answered);
}

#[test]
fn silence_ends_an_answer_and_what_follows_is_a_push() {
    let mut round = Talk::default();
    round.initiate(MS, 0);
    round.respond(2 * MS);
    round.respond(3 * MS);
    let push = round.respond(3 * MS + IDLE_NS + 1);
    assert!(push.suspected && !push.answered);
    assert_eq!(push.prolonged, Some((MS, 2 * MS)));
    assert_eq!(round.pushes, 1);
    round.respond(4 * MS + IDLE_NS);
    assert_eq!(round.pushes, 1, "the same push goes on");
}

#[test]
fn a_download_that_stalls_once_is_no_push() {
    let mut round = Talk::default();
    round.initiate(MS, 0);
    for i in 0..500u64 {
        let stall = if i < 100 { 0 } else { IDLE_NS + MS };
        round.respond(2 * MS + i * MS + stall);
    }
    assert_eq!(round.pushes, 1);
    assert_eq!(round.evidence(), Evidence::default());
}

#[test]
fn settle_waits_for_the_idle_time_unless_the_socket_ends() {
    let mut round = Talk::default();
    round.initiate(MS, 0);
    round.respond(3 * MS);
    round.respond(4 * MS);
    assert_eq!(round.settle(5 * MS, false), Turn::default());
    assert_eq!(round.settle(5 * MS, true).prolonged, Some((2 * MS, 3 * MS)));
    assert_eq!(round.settle(6 * MS, true), Turn::default(), "only once");
}

#[test]
fn an_answer_in_one_piece_needs_no_correction() {
    let mut round = Talk::default();
    round.initiate(MS, 0);
    round.respond(3 * MS);
    assert_eq!(round.settle(4 * MS, true), Turn::default());
}

#[test]
fn an_unanswered_round_is_abandoned_once() {
    let mut round = Talk::default();
    round.initiate(MS, 0);
    assert_eq!(round.settle(900 * MS, true), Turn::default());
    assert!(round.abandon());
    assert!(!round.abandon());
}

#[test]
fn overlapping_requests_are_recognised() {
    let mut round = Talk::default();
    let mut now = MS;
    for _ in 0..40 {
        round.initiate(now, 0);
        round.initiate(now + 2 * MS, 0);
        round.respond(now + 3 * MS);
        round.respond(now + 4 * MS);
        now += 5 * MS;
    }
    assert_eq!(round.evidence(), Evidence { multiplexed: true, push: false });
}

#[test]
fn a_slow_upload_is_not_multiplexing() {
    let mut round = Talk::default();
    let mut now = MS;
    for _ in 0..3 {
        for _ in 0..100 {
            round.initiate(now, 0);
            now += 2 * MS;
        }
        round.respond(now);
    }
    assert_eq!(round.evidence(), Evidence::default());
}

#[test]
fn a_distant_peer_gets_more_patience() {
    let mut near = Talk::default();
    near.initiate(MS, 0);
    near.initiate(6 * MS, 0);
    assert_eq!(near.late, 1);
    let mut far = Talk::default();
    far.initiate(MS, 40 * MS);
    far.initiate(6 * MS, 40 * MS);
    assert_eq!(far.late, 0);
}

#[test]
fn a_subscription_is_push() {
    let mut round = Talk::default();
    round.initiate(MS, 0);
    let mut now = 2 * MS;
    for _ in 0..200 {
        round.respond(now);
        now += IDLE_NS + MS;
    }
    assert!(round.evidence().push);
    assert!(!round.evidence().multiplexed);
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Initiate,
    Respond,
    Settle,
    Abandon,
}

fn any_op() -> impl Strategy<Value = Op> {
    prop_oneof![4 => Just(Op::Initiate), 4 => Just(Op::Respond), 1 => Just(Op::Settle), 1 => Just(Op::Abandon)]
}

proptest! {
    /// Whatever the order and the times: rounds opened are rounds answered, given up, or the one in flight; no
    /// duration exceeds the time that passed; a round completes only after its answer.
    #[test]
    fn the_books_balance(ops in prop::collection::vec((any_op(), 0u64..400 * MS), 1..400)) {
        let mut round = Talk::default();
        let (mut opened, mut answered, mut prolonged, mut abandoned, mut latency) = (0u64, 0u64, 0u64, 0u64, 0u64);
        let mut now = MS;
        for (op, step) in ops {
            now += step;
            let turn = match op {
                Op::Initiate => round.initiate(now, 0),
                Op::Respond => round.respond(now),
                Op::Settle => round.settle(now, false),
                Op::Abandon => {
                    abandoned += u64::from(round.abandon());
                    Turn::default()
                }
            };
            opened += u64::from(turn.opened);
            answered += u64::from(turn.answered);
            prolonged += u64::from(turn.prolonged.is_some());
            latency += turn.latency_ns;
            prop_assert!(turn.prolonged.is_none_or(|(first, full)| first < full && full <= now));
            prop_assert!(!(turn.opened && turn.answered));
            prop_assert_eq!(opened, answered + abandoned + u64::from(round.in_flight()));
            prop_assert!(prolonged <= answered);
        }
        prop_assert!(latency <= now - MS, "latencies of one socket do not overlap");
        prop_assert_eq!(u64::from(round.rounds), answered);
    }

    /// An alternating protocol is counted exactly, and never suspected of anything.
    #[test]
    fn alternation_is_exact(gaps in prop::collection::vec((1u64..150 * MS, 1u64..150 * MS), 1..300)) {
        let mut round = Talk::default();
        let mut now = MS;
        let mut total = 0;
        for (work, think) in &gaps {
            round.initiate(now, 0);
            now += work;
            let turn = round.respond(now);
            prop_assert_eq!(turn.latency_ns, *work);
            total += turn.latency_ns;
            now += think;
        }
        prop_assert_eq!(round.rounds as usize, gaps.len());
        prop_assert_eq!(total, gaps.iter().map(|g| g.0).sum::<u64>());
        prop_assert_eq!(round.evidence(), Evidence::default());
    }

    /// Time may stand still or run backwards (two processors' clocks): nothing wraps.
    #[test]
    fn backward_time_is_harmless(times in prop::collection::vec((any_op(), 0u64..10_000), 1..100)) {
        let mut round = Talk::default();
        for (op, now) in times {
            let turn = match op {
                Op::Initiate => round.initiate(now, 0),
                Op::Respond => round.respond(now),
                Op::Settle | Op::Abandon => round.settle(now, true),
            };
            prop_assert!(turn.latency_ns <= 10_000 && turn.prolonged.is_none_or(|(_, full)| full <= 10_000));
        }
    }
}
