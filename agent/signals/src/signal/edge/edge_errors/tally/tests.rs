use proptest::prelude::*;

use super::*;

/// Windows of five seconds on an edge that has worked.
const WORKED: Before = Before { unanswered: Some(0.0), goodput: None, worked: true };

fn tally(connected: u64, answered: u64, failed: &[(Cause, u64)]) -> Tally {
    let mut tally = Tally { connected, answered, ..Tally::default() };
    failed.iter().for_each(|(cause, n)| tally.fail(*cause, *n));
    tally
}

fn read(tally: Tally, before: Before) -> Finding {
    Reading::new(tally, before, 5.0).finding(Rules::ALL)
}

fn level(finding: Finding) -> Option<Level> {
    if let Finding::Raise(severity) = finding { Some(severity.level()) } else { None }
}

#[test]
fn a_share_needs_twenty_calls_and_five_failures() {
    let refused = |ok, n| read(tally(ok, 0, &[(Cause::Refused, n)]), WORKED);
    assert_eq!(level(refused(15, 5)), Some(Level::Warn), "11% at least");
    assert_eq!(refused(14, 5), Finding::Between, "19 calls");
    assert_eq!(refused(16, 4), Finding::Between, "four failures");
    assert_eq!(refused(240, 10), Finding::Raise(Severity::Warn), "4%: 2.2% at least");
    assert_eq!(refused(240, 9), Finding::Between, "3.6%: 1.9% at least, which may be luck");
}

#[test]
fn the_clear_line_is_lower_than_the_raise_line() {
    let refused = |ok, n| read(tally(ok, 0, &[(Cause::Refused, n)]), WORKED);
    assert_eq!(refused(1000, 5), Finding::Clear, "0.498%");
    assert_eq!(refused(994, 5), Finding::Between, "0.501%");
    assert_eq!((refused(1, 0), refused(0, 0)), (Finding::Clear, Finding::NoData));
    assert_eq!(refused(10, 1), Finding::Between, "too few for a share, but not well");
}

#[test]
fn three_connects_of_which_none_succeeds_need_no_share() {
    let refused = |n| read(tally(0, 0, &[(Cause::Refused, n)]), WORKED);
    assert_eq!((level(refused(2)), level(refused(3))), (None, Some(Level::Critical)));
}

#[test]
fn a_page_needs_an_effect() {
    let none = tally(0, 0, &[(Cause::Timeout, 10)]);
    let severity = |before| level(read(none, before));
    assert_eq!(severity(Before::default()), Some(Level::Warn), "it never worked: it is not missed");
    assert_eq!(severity(WORKED), Some(Level::Critical));
    // Open connections still do their work.
    let pooled = Tally { answered: 1000, ..none };
    let normal = |goodput| Before { goodput: Some(goodput), ..WORKED };
    assert_eq!(level(read(pooled, normal(200.0))), Some(Level::Warn));
    assert_eq!(level(read(pooled, normal(1000.0))), Some(Level::Critical), "a fifth of normal");
    let half = tally(50, 0, &[(Cause::Refused, 50)]);
    assert_eq!(level(read(half, WORKED)), Some(Level::Warn));
    assert_eq!(level(read(half, normal(20.0))), Some(Level::Critical), "half of normal");
}

#[test]
fn requests_without_an_answer_count_beyond_what_is_normal() {
    let calls = tally(0, 100, &[(Cause::Abandoned, 100)]);
    assert_eq!(read(calls, Before::default()), Finding::Clear, "not known yet: it may be how it says good-bye");
    assert_eq!(read(calls, Before { unanswered: Some(0.5), ..WORKED }), Finding::Clear, "every other, as always");
    assert_eq!(level(read(calls, WORKED)), Some(Level::Critical), "abandoned, where none ever was");
    let worse = tally(0, 10, &[(Cause::Abandoned, 190)]);
    assert!(level(read(worse, Before { unanswered: Some(0.5), ..WORKED })).is_some());
    let shipper = tally(0, 0, &[(Cause::Abandoned, 1000)]);
    assert!(level(read(shipper, Before { unanswered: Some(1.0), ..WORKED })).is_none(), "it is never answered");
}

#[test]
fn rounds_that_cannot_be_believed_say_nothing_but_connects_do() {
    let calls = Tally { rounds_mislead: true, ..tally(0, 100, &[(Cause::Abandoned, 100)]) };
    assert_eq!(read(calls, WORKED), Finding::Clear);
    let refused = Tally { rounds_mislead: true, ..tally(0, 0, &[(Cause::Refused, 100)]) };
    assert!(level(read(refused, WORKED)).is_some());
}

#[test]
fn the_worst_cause_is_the_most_frequent_and_then_the_first() {
    assert_eq!(tally(0, 0, &[(Cause::Timeout, 3), (Cause::Refused, 2)]).worst(), Cause::Timeout);
    assert_eq!(tally(0, 0, &[(Cause::Timeout, 3), (Cause::Refused, 3)]).worst(), Cause::Refused);
}

proptest! {
    #[test]
    fn nothing_panics_and_no_failure_raises_nothing(
        connected: u64, answered: u64, failed: [u64; 7], unanswered: Option<f64>, goodput: Option<f64>,
        worked: bool, seconds in 1e-9f64..1e9,
    ) {
        let before = Before { unanswered, goodput, worked };
        let mut tally = Tally { connected, answered, failed, ..Tally::default() };
        let _ = read(tally, before);
        tally.failed = [0; 7];
        prop_assert_eq!(level(Reading::new(tally, before, seconds).finding(Rules::ALL)), None);
    }

    /// More failures of as many calls are never better.
    #[test]
    fn more_failures_are_no_better(calls in 1u64..500, a in 0u64..500, b in 0u64..500) {
        let rank = |failed: u64| match read(tally(calls - failed, 0, &[(Cause::Timeout, failed)]), WORKED) {
            Finding::NoData => 0,
            Finding::Clear => 1,
            Finding::Between => 2,
            Finding::Raise(_) | Finding::Proven(_) => 3,
        };
        let (less, more) = (a.min(b).min(calls), a.max(b).min(calls));
        prop_assert!(rank(less) <= rank(more));
    }
}
