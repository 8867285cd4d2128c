use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::{
    finding::Finding,
    incident::{
        alarm::Ended,
        changes::ChangeKind,
        notify::{MAX_A_SPAN, Notification, SPAN_NS},
        severity::{Effect, Level, Resource, Severity},
    },
    report::{alert::tests::report, defect::Defect},
    row::Signal,
};
use weir_engine::{Kind, Service};

const S: u64 = 1_000_000_000;
const SIGNAL: Signal = Signal::named("edge_errors");
const DRIFT: Signal = Signal::named("latency_drift").held_during_changes();
const WARN: Finding = Finding::Raise(Severity::Warn);

fn critical() -> Finding {
    Finding::Raise(Severity::of(Level::Critical, Some(Resource::Errors), Some(Effect::Refused)))
}

fn service(name: &str) -> Service {
    Service { kind: Kind::Executable, namespace: None, name: name.into() }
}

fn edge(name: &str) -> Subject {
    Subject::edge(service("app"), service(name), Some(80))
}

/// Incidents that get a window every five seconds.
#[derive(Default)]
struct Feed {
    incidents: Incidents,
    now_ns: u64,
    events: Vec<Event>,
    sent: Vec<(u64, Notification)>,
}

impl Feed {
    fn window<'u>(&mut self, signal: &Signal, findings: impl IntoIterator<Item = (&'u Subject, Finding)>) -> &mut Self {
        self.now_ns += 5 * S;
        self.incidents.begin(Moment { monotonic_ns: self.now_ns, unix_ns: self.now_ns });
        for (subject, finding) in findings {
            self.incidents.judge(signal, subject, finding, report);
        }
        let Decisions { events, notifications } = self.incidents.finish();
        self.events.extend(events);
        self.sent.extend(notifications.into_iter().map(|n| (self.now_ns, n)));
        self
    }

    fn windows(&mut self, n: usize, subject: &Subject, finding: Finding) -> &mut Self {
        (0..n).fold(self, |feed, _| feed.window(&SIGNAL, [(subject, finding)]))
    }

    fn silence(&mut self, n: usize) -> &mut Self {
        (0..n).fold(self, |feed, _| feed.window(&SIGNAL, []))
    }

    fn happened(&self) -> Vec<Happened> {
        self.events.iter().map(|event| event.happened).collect()
    }
}

#[test]
fn an_incident_begins_is_notified_of_once_and_ends() {
    let (mut feed, redis) = (Feed::default(), edge("redis"));
    feed.windows(10, &redis, WARN);
    assert_eq!(feed.incidents.firing().count(), 1);
    feed.windows(3, &redis, Finding::Clear);
    assert_eq!(feed.happened(), [Happened::Raised, Happened::Resolved(Ended::Cleared)]);
    assert_eq!(feed.sent.len(), 1);
    assert_eq!((feed.sent[0].1.alert.document().state, feed.events[1].alert.document().state), ("firing", "ok"));
    assert_eq!(feed.incidents.firing().count(), 0);
}

#[test]
fn an_incident_that_is_back_within_a_minute_is_the_same_and_not_notified_of_again() {
    let (mut feed, redis) = (Feed::default(), edge("redis"));
    for _ in 0..20 {
        feed.windows(4, &redis, WARN).windows(6, &redis, Finding::Clear);
    }
    let ids: BTreeSet<String> = feed.events.iter().map(|event| event.alert.id().to_owned()).collect();
    assert_eq!((ids.len(), feed.sent.len()), (1, 1), "{ids:?}");
    assert_eq!(feed.happened().iter().filter(|h| **h == Happened::Continued).count(), 19);
    feed.windows(13, &redis, Finding::Clear).windows(2, &redis, WARN);
    let last = &feed.events[feed.events.len() - 1];
    assert!(last.happened == Happened::Raised && !ids.contains(last.alert.id()), "a new one");
    assert_eq!(last.alert.dedupe_key(), feed.events[0].alert.dedupe_key(), "of the same signal and subject");
}

#[test]
fn ids_are_the_same_in_every_run() {
    let run = || {
        let mut feed = Feed::default();
        feed.windows(2, &edge("redis"), WARN);
        feed.events[0].alert.id().to_owned()
    };
    assert_eq!(run(), run());
    assert!(run().starts_with("edge_errors-") && run().ends_with("-a"), "{}", run());
}

#[test]
fn a_higher_level_is_notified_of_but_not_within_ten_minutes() {
    let (mut feed, redis) = (Feed::default(), edge("redis"));
    feed.windows(2, &redis, WARN).windows(200, &redis, critical());
    let sent: Vec<_> = feed.sent.iter().map(|(at, n)| (at / S, n.alert.severity().level())).collect();
    assert_eq!(sent, [(10, Level::Warn), (610, Level::Critical)]);
    assert_eq!(feed.happened(), [Happened::Raised, Happened::Level { from: Level::Warn }]);
}

#[test]
fn info_is_not_notified_of() {
    let mut feed = Feed::default();
    feed.windows(9, &edge("redis"), Finding::Raise(Severity::Info));
    assert_eq!((feed.happened(), feed.sent.len()), (vec![Happened::Raised], 0));
}

#[test]
fn five_in_ten_minutes_pages_first_and_the_rest_is_counted() {
    let mut feed = Feed::default();
    let subjects: Vec<Subject> = (0..9).map(|i| edge(&format!("s{i}"))).collect();
    let finding = |i| if i < 4 { WARN } else { critical() };
    for _ in 0..10 {
        feed.window(&SIGNAL, subjects.iter().enumerate().map(|(i, subject)| (subject, finding(i))));
    }
    assert_eq!(feed.sent.len(), 5);
    assert!(feed.sent.iter().all(|(_, n)| n.alert.severity().level() == Level::Critical));
    assert_eq!(feed.incidents.lost().rolled_up, 4, "each once");
    for _ in 0..120 {
        feed.window(&SIGNAL, subjects.iter().enumerate().map(|(i, subject)| (subject, finding(i))));
    }
    assert_eq!(feed.sent.len(), 9, "they go on, and are notified of when the limit allows");
    assert_eq!(feed.sent[5].1.rolled_up, 4);
}

#[test]
fn a_restart_holds_a_signal_that_it_explains() {
    let redis = edge("redis");
    let mut feed = Feed::default();
    feed.incidents.changed(Change { at_ns: 0, kind: ChangeKind::ProcessStarted, service: service("redis") });
    for _ in 0..12 {
        feed.window(&DRIFT, [(&redis, WARN)]);
    }
    let pending: Vec<_> = feed.incidents.pending().collect();
    let held = Some("during start of redis, 60 s before");
    assert_eq!(pending, [Pending { signal: "latency_drift", subject: &redis, since_ns: 5 * S, held }]);
    feed.window(&DRIFT, [(&redis, WARN)]);
    assert_eq!(feed.happened(), [Happened::Raised], "65 s after it");
}

#[test]
fn without_its_rule_a_restart_holds_nothing() {
    let rules = Rules::without("no-changes").expect("an ablation");
    let mut feed = Feed { incidents: Incidents::following(rules), ..Feed::default() };
    feed.incidents.changed(Change { at_ns: 0, kind: ChangeKind::ProcessStarted, service: service("redis") });
    feed.window(&DRIFT, [(&edge("redis"), WARN)]).window(&DRIFT, [(&edge("redis"), WARN)]);
    assert_eq!(feed.happened(), [Happened::Raised]);
}

#[test]
fn without_the_second_key_every_warning_is_a_page() {
    let rules = Rules::without("fixed-lines").expect("an ablation");
    let mut feed = Feed { incidents: Incidents::following(rules), ..Feed::default() };
    feed.windows(2, &edge("redis"), WARN);
    assert_eq!(feed.events[0].alert.severity().level(), Level::Critical);
}

#[test]
fn other_signals_fire_after_a_restart_and_mention_it() {
    let mut feed = Feed::default();
    feed.incidents.changed(Change { at_ns: S, kind: ChangeKind::ProcessStarted, service: service("redis") });
    feed.windows(2, &edge("redis"), WARN);
    assert_eq!(feed.happened(), [Happened::Raised]);
    assert!(feed.events[0].alert.text().contains("; during start of redis, 9 s before"));
    assert!(feed.events[0].alert.document().why.ends_with("; during start of redis, 9 s before"));
}

#[test]
fn a_restart_of_another_holds_nothing() {
    let mut feed = Feed::default();
    feed.incidents.changed(Change { at_ns: S, kind: ChangeKind::ProcessStarted, service: service("pg") });
    feed.window(&DRIFT, [(&edge("redis"), WARN)]).window(&DRIFT, [(&edge("redis"), WARN)]);
    assert_eq!(feed.happened(), [Happened::Raised]);
}

#[test]
fn a_subject_without_findings_ends_as_silent() {
    let (mut feed, redis) = (Feed::default(), edge("redis"));
    feed.windows(2, &redis, WARN);
    feed.silence(12);
    assert_eq!(feed.happened(), [Happened::Raised, Happened::Resolved(Ended::WentSilent)]);
    feed.silence(13);
    assert_eq!((feed.incidents.alarms, feed.incidents.open), (0, 0), "forgotten");
}

#[test]
fn an_incomplete_report_is_counted_and_the_next_complete_one_raises() {
    let (mut feed, redis) = (Feed::default(), edge("redis"));
    for s in 1..=2 {
        feed.now_ns = 5 * s * S;
        feed.incidents.begin(Moment { monotonic_ns: feed.now_ns, unix_ns: 0 });
        feed.incidents.judge(&SIGNAL, &redis, WARN, || Err(Defect::NoBaseline));
        assert_eq!(feed.incidents.finish(), Decisions::default());
    }
    assert_eq!(feed.incidents.lost().rejected[Defect::NoBaseline as usize], 1);
    feed.windows(1, &redis, WARN);
    assert_eq!((feed.happened(), feed.sent.len()), (vec![Happened::Raised], 1));
}

#[test]
fn reports_are_made_only_when_shown() {
    let (mut incidents, redis, mut made) = (Incidents::default(), edge("redis"), 0);
    let findings = [WARN, Finding::Clear, WARN, Finding::Between, WARN];
    for (s, finding) in (1..).zip(findings) {
        incidents.begin(Moment { monotonic_ns: 5 * s * S, unix_ns: 0 });
        incidents.judge(&SIGNAL, &redis, finding, || {
            made += 1;
            report()
        });
        incidents.finish();
    }
    assert_eq!(made, 2, "when it fires, and when it raises again");
}

#[test]
fn memory_is_bounded_and_the_rest_is_counted() {
    let mut feed = Feed::default();
    let subjects: Vec<Subject> = (0..MAX_ALARMS + 10).map(|i| edge(&format!("s{i}"))).collect();
    for _ in 0..3 {
        feed.window(&SIGNAL, subjects.iter().map(|subject| (subject, WARN)));
    }
    let lost = feed.incidents.lost();
    assert_eq!((feed.incidents.firing().count(), feed.events.len()), (MAX_INCIDENTS, MAX_INCIDENTS));
    assert_eq!(lost.alarms_over_limit, 30, "in each of three windows");
    assert_eq!(lost.incidents_over_limit, (MAX_ALARMS - MAX_INCIDENTS) as u64, "each once");
    assert!(size_of::<Entry>() + size_of::<Subject>() <= 320, "{}", size_of::<Entry>() + size_of::<Subject>());
    // When they have ended, their memory is free again.
    for _ in 0..20 {
        feed.window(&SIGNAL, subjects.iter().map(|subject| (subject, Finding::Clear)));
    }
    assert_eq!((feed.incidents.alarms, feed.incidents.open), (0, 0));
}

fn findings() -> impl Strategy<Value = Option<Finding>> {
    prop_oneof![
        Just(Some(Finding::Raise(Severity::Info))),
        Just(Some(WARN)),
        Just(Some(critical())),
        Just(Some(Finding::Between)),
        Just(Some(Finding::Clear)),
        Just(Some(Finding::NoData)),
        Just(None),
    ]
}

proptest! {
    #[test]
    fn any_findings(windows in prop::collection::vec((prop::collection::vec(findings(), 8), 1u64..60), 0..150)) {
        let subjects: Vec<Subject> = (0..8).map(|i| edge(&format!("s{i}"))).collect();
        let mut feed = Feed::default();
        for (findings, seconds) in windows {
            feed.now_ns += seconds * S;
            feed.window(&SIGNAL, subjects.iter().zip(findings).filter_map(|(subject, f)| Some((subject, f?))));
            // One incident a subject, and only of alarms that fire.
            let firing: Vec<_> = feed.incidents.firing().map(|alert| alert.subject().clone()).collect();
            prop_assert!(firing.windows(2).all(|two| two[0] < two[1]));
            prop_assert_eq!(feed.incidents.entries.values().map(BTreeMap::len).sum::<usize>(), feed.incidents.alarms);
            let open = feed.incidents.entries.values().flat_map(BTreeMap::values).filter(|e| e.incident.is_some());
            prop_assert_eq!(open.count(), feed.incidents.open);
        }
        for (i, (at_ns, notification)) in feed.sent.iter().enumerate() {
            let recent = feed.sent[..i].iter().filter(|(then_ns, _)| at_ns - then_ns < SPAN_NS);
            prop_assert!(recent.clone().count() < MAX_A_SPAN);
            prop_assert!(recent.clone().all(|(_, earlier)| earlier.alert.id() != notification.alert.id()));
            let severity = notification.alert.severity();
            prop_assert!(severity.level() >= Level::Warn);
            prop_assert_eq!(severity.level() == Level::Critical, severity.keys().is_some());
        }
    }
}
