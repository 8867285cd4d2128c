use proptest::prelude::*;

use super::*;

const S: u64 = 1_000_000_000;
const WARN: Verdict = Verdict::Raise(Level::Warn);
const CRITICAL: Verdict = Verdict::Raise(Level::Critical);

/// An alarm that gets a window every five seconds.
struct Feed {
    alarm: Alarm,
    now_ns: u64,
    held: bool,
    /// Seconds since the start, and the transition.
    transitions: Vec<(u64, Transition)>,
}

impl Feed {
    fn new() -> Self {
        Self { alarm: Alarm::default(), now_ns: 1000 * S, held: false, transitions: Vec::new() }
    }

    fn windows(&mut self, n: usize, verdict: Verdict) -> &mut Self {
        for _ in 0..n {
            self.now_ns += 5 * S;
            let transition = self.alarm.judge(Rule::USUAL, self.now_ns, verdict, self.held);
            if transition != Transition::None {
                self.transitions.push((self.now_ns / S - 1000, transition));
            }
        }
        self
    }
}

#[test]
fn two_of_three_fire_and_three_clear_ones_end_it() {
    let mut feed = Feed::new();
    feed.windows(1, WARN).windows(1, Verdict::Clear);
    assert_eq!((feed.alarm.state(), feed.transitions.len()), (State::Pending, 0));
    feed.windows(1, WARN);
    assert_eq!(feed.alarm.state(), State::Firing);
    feed.windows(2, Verdict::Clear);
    assert_eq!(feed.alarm.state(), State::Resolving);
    feed.windows(1, Verdict::Clear);
    assert_eq!(
        feed.transitions,
        [(15, Transition::Fired { again: false }), (30, Transition::Resolved(Ended::Cleared))]
    );
}

#[test]
fn one_window_alone_does_not_fire() {
    let mut feed = Feed::new();
    feed.windows(1, CRITICAL).windows(3, Verdict::Between);
    assert_eq!((feed.alarm.state(), &feed.transitions[..]), (State::Ok, &[][..]));
    assert!(feed.alarm.is_idle(feed.now_ns));
}

#[test]
fn between_the_lines_neither_fires_nor_clears() {
    let mut feed = Feed::new();
    feed.windows(100, Verdict::Between);
    assert_eq!(feed.alarm.state(), State::Ok);
    feed.windows(2, WARN).windows(2, Verdict::Clear).windows(100, Verdict::Between);
    assert_eq!((feed.alarm.state(), feed.transitions.len()), (State::Firing, 1), "hysteresis");
}

#[test]
fn it_fires_for_fifteen_seconds_at_least() {
    let rule = Rule { raise: (1, 1), clear: 1 };
    let mut alarm = Alarm::default();
    assert_eq!(alarm.judge(rule, 100 * S, WARN, false), Transition::Fired { again: false });
    for s in [105, 110, 114] {
        assert_eq!(alarm.judge(rule, s * S, Verdict::Clear, false), Transition::None);
    }
    assert_eq!(alarm.judge(rule, 115 * S, Verdict::Clear, false), Transition::Resolved(Ended::Cleared));
}

#[test]
fn windows_without_data_count_neither_way() {
    let mut feed = Feed::new();
    feed.windows(1, WARN).windows(4, Verdict::NoData).windows(1, WARN);
    assert_eq!(feed.alarm.state(), State::Firing, "the two were the last two that could be judged");
    feed.windows(2, Verdict::Clear).windows(4, Verdict::NoData);
    assert_eq!(feed.alarm.state(), State::Resolving);
    feed.windows(1, Verdict::Clear);
    assert_eq!(feed.alarm.state(), State::Ok);
}

#[test]
fn without_data_a_state_ends() {
    let mut feed = Feed::new();
    feed.windows(1, WARN).windows(5, Verdict::NoData);
    assert_eq!(feed.alarm.state(), State::Pending);
    feed.windows(1, Verdict::NoData);
    assert_eq!(feed.alarm.state(), State::Ok, "30 s without a window that could be judged");
    feed.windows(1, WARN);
    assert_eq!(feed.alarm.state(), State::Pending, "an old raise is not one of the last three");
    feed.windows(1, WARN).windows(11, Verdict::NoData);
    assert_eq!(feed.alarm.state(), State::Firing);
    feed.windows(1, Verdict::NoData);
    assert_eq!(
        feed.transitions.last(),
        Some(&(100 + 5, Transition::Resolved(Ended::WentSilent))),
        "{:?}",
        feed.transitions
    );
}

#[test]
fn a_raise_within_a_minute_continues_the_old_incident() {
    for (gap, again) in [(11, true), (12, false)] {
        let mut feed = Feed::new();
        // The raise comes a window after the gap.
        feed.windows(2, WARN).windows(3, Verdict::Clear).windows(gap, Verdict::Clear).windows(2, WARN);
        assert_eq!(feed.transitions.last().map(|(_, t)| *t), Some(Transition::Fired { again }), "after {gap} windows");
    }
}

#[test]
fn an_ended_alarm_is_kept_for_a_minute() {
    let mut feed = Feed::new();
    feed.windows(2, WARN).windows(3, Verdict::Clear);
    assert!(!feed.alarm.is_idle(feed.now_ns + 60 * S));
    assert!(feed.alarm.is_idle(feed.now_ns + 61 * S));
}

#[test]
fn severity_rises_with_k_of_n_and_falls_when_none_of_n_is_as_bad() {
    let mut feed = Feed::new();
    feed.windows(2, WARN).windows(3, Verdict::Between).windows(1, CRITICAL);
    assert_eq!(feed.alarm.level(), Some(Level::Warn), "one of three");
    feed.windows(1, CRITICAL);
    assert_eq!(feed.alarm.level(), Some(Level::Critical));
    feed.windows(2, WARN);
    assert_eq!(feed.alarm.level(), Some(Level::Critical), "one of the last three still was");
    feed.windows(1, WARN);
    assert_eq!(feed.alarm.level(), Some(Level::Warn));
    feed.windows(2, CRITICAL).windows(3, Verdict::Between);
    assert_eq!(feed.alarm.level(), Some(Level::Warn), "no page while nothing raises");
    let levels: Vec<_> = feed.transitions[1..].iter().map(|(_, transition)| *transition).collect();
    let moved = |from| Transition::Level { from };
    assert_eq!(levels, [moved(Level::Warn), moved(Level::Critical), moved(Level::Warn), moved(Level::Critical)]);
}

#[test]
fn a_change_holds_an_alarm_back_for_five_minutes_at_most() {
    let mut feed = Feed::new();
    feed.held = true;
    feed.windows(60, CRITICAL);
    assert_eq!((feed.alarm.state(), feed.transitions.len()), (State::Pending, 0));
    feed.windows(1, CRITICAL);
    assert_eq!(feed.transitions, [(305, Transition::Fired { again: false })], "after five minutes");
}

#[test]
fn after_a_change_it_fires_on_the_next_window_that_raises() {
    let mut feed = Feed::new();
    feed.held = true;
    feed.windows(5, WARN);
    feed.held = false;
    assert_eq!(feed.windows(1, Verdict::Between).alarm.state(), State::Pending, "no evidence in this window");
    assert_eq!(feed.windows(1, WARN).alarm.state(), State::Firing);
}

#[test]
fn rules_are_bounded() {
    let rule = Rule { raise: (255, 255), clear: 0 };
    let mut alarm = Alarm::default();
    let fired = (1..=20).find(|s| alarm.judge(rule, s * S, WARN, false) != Transition::None);
    assert_eq!(fired, Some(16));
    let never = Rule { raise: (0, 0), clear: 0 };
    assert_eq!(Alarm::default().judge(never, S, Verdict::Clear, false), Transition::None, "0 of 0 is 1 of 1");
}

fn verdicts() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        Just(Verdict::Raise(Level::Info)),
        Just(WARN),
        Just(CRITICAL),
        Just(Verdict::Between),
        Just(Verdict::Clear),
        Just(Verdict::NoData),
    ]
}

proptest! {
    /// Against the rule, applied to the whole history.
    #[test]
    fn it_never_fires_without_k_of_n(
        k in 1u8..5, more in 0u8..5, clear in 1u8..4, windows in prop::collection::vec((verdicts(), any::<bool>()), 0..200),
    ) {
        let n = k + more;
        let rule = Rule { raise: (k, n), clear };
        let mut alarm = Alarm::default();
        let mut judged: Vec<(u64, Verdict)> = Vec::new();
        for (i, (verdict, held)) in windows.into_iter().enumerate() {
            let now_ns = 5 * S * i as u64;
            let transition = alarm.judge(rule, now_ns, verdict, held);
            if verdict != Verdict::NoData {
                judged.push((now_ns, verdict));
            }
            let last = &judged[judged.len().saturating_sub(n.into())..];
            let raised = last.iter().filter(|(_, v)| matches!(v, Verdict::Raise(_))).count();
            match transition {
                Transition::Fired { .. } => {
                    prop_assert!(raised >= usize::from(k), "{raised} of {n}");
                    let level = alarm.level().expect("level");
                    let as_bad = last.iter().filter(|(_, v)| matches!(v, Verdict::Raise(l) if *l >= level)).count();
                    prop_assert!(as_bad >= usize::from(k), "{level:?}: {as_bad} of {n}");
                    prop_assert!(matches!(verdict, Verdict::Raise(_)));
                }
                Transition::Resolved(Ended::Cleared) => {
                    let run = &judged[judged.len() - usize::from(clear)..];
                    prop_assert!(run.iter().all(|(_, v)| *v == Verdict::Clear));
                }
                Transition::Resolved(Ended::WentSilent) => {
                    let (last_ns, _) = judged.last().expect("it fired on one");
                    prop_assert!(now_ns - last_ns >= SILENT_NS);
                }
                Transition::Level { .. } | Transition::None => {}
            }
            prop_assert_eq!(alarm.level().is_some(), matches!(alarm.state(), State::Firing | State::Resolving));
        }
    }

    /// What flaps faster than once a minute is one incident.
    #[test]
    fn a_flapping_input_is_one_incident(on in 2usize..20, off in 0usize..12, times in 2usize..10) {
        let mut feed = Feed::new();
        for _ in 0..times {
            feed.windows(on, WARN).windows(off, Verdict::Clear);
        }
        let new = feed.transitions.iter().filter(|(_, t)| *t == Transition::Fired { again: false }).count();
        prop_assert_eq!(new, 1);
    }

    #[test]
    fn it_fires_for_fifteen_seconds_at_least_whatever_the_clock(
        windows in prop::collection::vec((any::<u64>(), 0u64..20, verdicts(), any::<bool>()), 0..200),
        wild in any::<bool>(),
    ) {
        let rule = Rule { raise: (1, 2), clear: 1 };
        let mut alarm = Alarm::default();
        let (mut now_ns, mut fired_ns) = (0, 0);
        for (any_ns, step_s, verdict, held) in windows {
            now_ns = if wild { any_ns } else { now_ns + step_s * S };
            match alarm.judge(rule, now_ns, verdict, held) {
                Transition::Fired { .. } => fired_ns = now_ns,
                Transition::Resolved(_) => prop_assert!(now_ns.saturating_sub(fired_ns) >= MIN_FIRING_NS),
                Transition::Level { .. } | Transition::None => {}
            }
        }
    }
}
