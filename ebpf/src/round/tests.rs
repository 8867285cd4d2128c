use super::*;
use proptest::prelude::*;

const MS: u64 = 1_000_000;

#[test]
fn a_request_and_its_answer() {
    let mut round = Round::default();
    let opened = round.initiate(1000, 0);
    assert!(opened.opened && opened.turned && !opened.completed);
    assert!(round.in_flight());
    let answered = round.respond(4000);
    assert!(answered.answered && answered.turned);
    assert_eq!(answered.latency_ns, 3000);
    // The answer's second piece belongs to the same round.
    assert_eq!(round.respond(9000), Turn::default());
    let next = round.initiate(10_000, 0);
    assert!(next.completed && next.opened);
    assert_eq!(next.full_latency_ns, 8000);
    assert_eq!(round.rounds, 1);
}

#[test]
fn a_request_in_pieces_is_one_round() {
    let mut round = Round::default();
    assert!(round.initiate(1000, 0).opened);
    assert!(!round.initiate(2000, 0).opened);
    assert_eq!(round.respond(5000).latency_ns, 4000);
    assert_eq!(round.late, 0);
}

#[test]
fn a_banner_opens_no_round() {
    let mut round = Round::default();
    assert_eq!(round.respond(1000), Turn::default());
    assert_eq!(round.pushes, 0);
    assert!(round.initiate(2000, 0).opened);
    assert!(round.respond(3000).answered);
}

#[test]
fn silence_ends_an_answer_and_what_follows_is_a_push() {
    let mut round = Round::default();
    round.initiate(MS, 0);
    round.respond(2 * MS);
    let push = round.respond(2 * MS + IDLE_NS + 1);
    assert!(push.completed && !push.answered);
    assert_eq!(push.full_latency_ns, MS);
    assert_eq!(round.pushes, 1);
    round.respond(3 * MS + IDLE_NS);
    assert_eq!(round.pushes, 1, "the same push goes on");
}

#[test]
fn a_download_that_stalls_once_is_no_push() {
    let mut round = Round::default();
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
    let mut round = Round::default();
    round.initiate(MS, 0);
    round.respond(3 * MS);
    assert!(!round.settle(4 * MS, false).completed);
    assert_eq!(round.settle(4 * MS, true).full_latency_ns, 2 * MS);
    assert!(!round.settle(5 * MS, true).completed, "only once");
}

#[test]
fn an_unanswered_round_is_abandoned_once() {
    let mut round = Round::default();
    round.initiate(MS, 0);
    assert!(!round.settle(900 * MS, true).completed);
    assert!(round.abandon());
    assert!(!round.abandon());
}

#[test]
fn overlapping_requests_are_recognised() {
    let mut round = Round::default();
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
    let mut round = Round::default();
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
    let mut near = Round::default();
    near.initiate(MS, 0);
    near.initiate(6 * MS, 0);
    assert_eq!(near.late, 1);
    let mut far = Round::default();
    far.initiate(MS, 40 * MS);
    far.initiate(6 * MS, 40 * MS);
    assert_eq!(far.late, 0);
}

#[test]
fn a_subscription_is_push() {
    let mut round = Round::default();
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
        let mut round = Round::default();
        let (mut opened, mut answered, mut completed, mut abandoned, mut latency) = (0u64, 0u64, 0u64, 0u64, 0u64);
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
            completed += u64::from(turn.completed);
            latency += turn.latency_ns;
            prop_assert!(turn.full_latency_ns <= now);
            prop_assert!(!(turn.opened && turn.answered));
            prop_assert_eq!(opened, answered + abandoned + u64::from(round.in_flight()));
            prop_assert!(completed <= answered);
        }
        prop_assert!(latency <= now - MS, "latencies of one socket do not overlap");
        prop_assert_eq!(u64::from(round.rounds), answered);
    }

    /// An alternating protocol is counted exactly, and never suspected of anything.
    #[test]
    fn alternation_is_exact(gaps in prop::collection::vec((1u64..150 * MS, 1u64..150 * MS), 1..300)) {
        let mut round = Round::default();
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
        let mut round = Round::default();
        for (op, now) in times {
            let turn = match op {
                Op::Initiate => round.initiate(now, 0),
                Op::Respond => round.respond(now),
                Op::Settle | Op::Abandon => round.settle(now, true),
            };
            prop_assert!(turn.latency_ns <= 10_000 && turn.full_latency_ns <= 10_000);
        }
    }
}
