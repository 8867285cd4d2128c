use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::{
    incident::{
        alarm::Ended,
        changes::ChangeKind,
        notify::{MAX_A_SPAN, SPAN_NS},
        severity::{Effect, Resource},
    },
    report::alert::tests::report,
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

/// Incidents that are told a window every five seconds.
#[derive(Default)]
struct Told {
    incidents: Incidents,
    now_ns: u64,
    events: Vec<Event>,
    sent: Vec<(u64, Notification)>,
}

impl Told {
    fn window<'u>(&mut self, signal: &Signal, findings: impl IntoIterator<Item = (&'u Subject, Finding)>) -> &mut Self {
        self.now_ns += 5 * S;
        self.incidents.begin(Moment { monotonic_ns: self.now_ns, unix_ns: self.now_ns });
        for (unit, finding) in findings {
            self.incidents.judge(signal, unit, finding, report);
        }
        let Decisions { events, notifications } = self.incidents.finish();
        self.events.extend(events);
        self.sent.extend(notifications.into_iter().map(|n| (self.now_ns, n)));
        self
    }

    fn windows(&mut self, n: usize, unit: &Subject, finding: Finding) -> &mut Self {
        (0..n).fold(self, |told, _| told.window(&SIGNAL, [(unit, finding)]))
    }

    fn silence(&mut self, n: usize) -> &mut Self {
        (0..n).fold(self, |told, _| told.window(&SIGNAL, []))
    }

    fn happened(&self) -> Vec<Happened> {
        self.events.iter().map(|event| event.happened).collect()
    }
}

#[test]
fn an_incident_begins_is_told_of_once_and_ends() {
    let (mut told, redis) = (Told::default(), edge("redis"));
    told.windows(10, &redis, WARN);
    assert_eq!(told.incidents.firing().count(), 1);
    told.windows(3, &redis, Finding::Clear);
    assert_eq!(told.happened(), [Happened::Raised, Happened::Resolved(Ended::Cleared)]);
    assert_eq!(told.sent.len(), 1);
    assert_eq!((told.sent[0].1.alert.document().state, told.events[1].alert.document().state), ("firing", "ok"));
    assert_eq!(told.incidents.firing().count(), 0);
}

#[test]
fn what_comes_back_within_a_minute_is_the_same_incident_and_nobody_is_told_again() {
    let (mut told, redis) = (Told::default(), edge("redis"));
    for _ in 0..20 {
        told.windows(4, &redis, WARN).windows(6, &redis, Finding::Clear);
    }
    let ids: BTreeSet<String> = told.events.iter().map(|event| event.alert.id().to_owned()).collect();
    assert_eq!((ids.len(), told.sent.len()), (1, 1), "{ids:?}");
    assert_eq!(told.happened().iter().filter(|h| **h == Happened::Continued).count(), 19);
    told.windows(13, &redis, Finding::Clear).windows(2, &redis, WARN);
    let last = &told.events[told.events.len() - 1];
    assert!(last.happened == Happened::Raised && !ids.contains(last.alert.id()), "another");
    assert_eq!(last.alert.dedupe_key(), told.events[0].alert.dedupe_key(), "of the same signal and unit");
}

#[test]
fn ids_are_the_same_in_every_run() {
    let run = || {
        let mut told = Told::default();
        told.windows(2, &edge("redis"), WARN);
        told.events[0].alert.id().to_owned()
    };
    assert_eq!(run(), run());
    assert!(run().starts_with("edge_errors-") && run().ends_with("-a"), "{}", run());
}

#[test]
fn what_gets_worse_is_told_again_but_not_within_ten_minutes() {
    let (mut told, redis) = (Told::default(), edge("redis"));
    told.windows(2, &redis, WARN).windows(200, &redis, critical());
    let sent: Vec<_> = told.sent.iter().map(|(at, n)| (at / S, n.alert.severity().level())).collect();
    assert_eq!(sent, [(10, Level::Warn), (610, Level::Critical)]);
    assert_eq!(told.happened(), [Happened::Raised, Happened::Level { from: Level::Warn }]);
}

#[test]
fn information_is_nobodys_business() {
    let mut told = Told::default();
    told.windows(9, &edge("redis"), Finding::Raise(Severity::Info));
    assert_eq!((told.happened(), told.sent.len()), (vec![Happened::Raised], 0));
}

#[test]
fn five_in_ten_minutes_pages_first_and_the_rest_is_counted() {
    let mut told = Told::default();
    let units: Vec<Subject> = (0..9).map(|i| edge(&format!("s{i}"))).collect();
    let finding = |i| if i < 4 { WARN } else { critical() };
    for _ in 0..10 {
        told.window(&SIGNAL, units.iter().enumerate().map(|(i, unit)| (unit, finding(i))));
    }
    assert_eq!(told.sent.len(), 5);
    assert!(told.sent.iter().all(|(_, n)| n.alert.severity().level() == Level::Critical));
    assert_eq!(told.incidents.lost().rolled_up, 4, "each once");
    for _ in 0..120 {
        told.window(&SIGNAL, units.iter().enumerate().map(|(i, unit)| (unit, finding(i))));
    }
    assert_eq!(told.sent.len(), 9, "they go on, and are told of when there is room");
    assert_eq!(told.sent[5].1.rolled_up, 4);
}

#[test]
fn a_restart_holds_what_minds_it_and_says_so() {
    let redis = edge("redis");
    let mut told = Told::default();
    told.incidents.changed(Change { at_ns: 0, kind: ChangeKind::ProcessStarted, service: service("redis") });
    for _ in 0..12 {
        told.window(&DRIFT, [(&redis, WARN)]);
    }
    let pending: Vec<_> = told.incidents.pending().collect();
    let held = Some("during start of redis, 60 s before");
    assert_eq!(pending, [Pending { signal: "latency_drift", unit: &redis, since_ns: 5 * S, held }]);
    told.window(&DRIFT, [(&redis, WARN)]);
    assert_eq!(told.happened(), [Happened::Raised], "65 s after it");
}

#[test]
fn without_its_rule_a_restart_holds_nothing() {
    let rules = Rules::without("no-changes").expect("an ablation");
    let mut told = Told { incidents: Incidents::following(rules), ..Told::default() };
    told.incidents.changed(Change { at_ns: 0, kind: ChangeKind::ProcessStarted, service: service("redis") });
    told.window(&DRIFT, [(&edge("redis"), WARN)]).window(&DRIFT, [(&edge("redis"), WARN)]);
    assert_eq!(told.happened(), [Happened::Raised]);
}

#[test]
fn without_the_second_key_whatever_raises_is_a_page() {
    let rules = Rules::without("fixed-lines").expect("an ablation");
    let mut told = Told { incidents: Incidents::following(rules), ..Told::default() };
    told.windows(2, &edge("redis"), WARN);
    assert_eq!(told.events[0].alert.severity().level(), Level::Critical);
}

#[test]
fn a_restart_does_not_hold_what_does_not_mind_it_but_is_told() {
    let mut told = Told::default();
    told.incidents.changed(Change { at_ns: S, kind: ChangeKind::ProcessStarted, service: service("redis") });
    told.windows(2, &edge("redis"), WARN);
    assert_eq!(told.happened(), [Happened::Raised]);
    assert!(told.events[0].alert.text().contains("; during start of redis, 9 s before"));
    assert!(told.events[0].alert.document().why.ends_with("; during start of redis, 9 s before"));
}

#[test]
fn a_restart_of_another_holds_nothing() {
    let mut told = Told::default();
    told.incidents.changed(Change { at_ns: S, kind: ChangeKind::ProcessStarted, service: service("pg") });
    told.window(&DRIFT, [(&edge("redis"), WARN)]).window(&DRIFT, [(&edge("redis"), WARN)]);
    assert_eq!(told.happened(), [Happened::Raised]);
}

#[test]
fn a_unit_that_nobody_speaks_of_any_more_ends_as_silent() {
    let (mut told, redis) = (Told::default(), edge("redis"));
    told.windows(2, &redis, WARN);
    told.silence(12);
    assert_eq!(told.happened(), [Happened::Raised, Happened::Resolved(Ended::WentSilent)]);
    told.silence(13);
    assert_eq!((told.incidents.alarms, told.incidents.open), (0, 0), "forgotten");
}

#[test]
fn a_report_that_does_not_say_all_is_counted_and_said_when_it_does() {
    let (mut told, redis) = (Told::default(), edge("redis"));
    for s in 1..=2 {
        told.now_ns = 5 * s * S;
        told.incidents.begin(Moment { monotonic_ns: told.now_ns, unix_ns: 0 });
        told.incidents.judge(&SIGNAL, &redis, WARN, || Err(Defect::NoBaseline));
        assert_eq!(told.incidents.finish(), Decisions::default());
    }
    assert_eq!(told.incidents.lost().rejected[Defect::NoBaseline as usize], 1);
    told.windows(1, &redis, WARN);
    assert_eq!((told.happened(), told.sent.len()), (vec![Happened::Raised], 1));
}

#[test]
fn reports_are_made_only_to_be_read() {
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
fn memory_is_bounded_and_what_finds_no_room_is_counted() {
    let mut told = Told::default();
    let units: Vec<Subject> = (0..MAX_ALARMS + 10).map(|i| edge(&format!("s{i}"))).collect();
    for _ in 0..3 {
        told.window(&SIGNAL, units.iter().map(|unit| (unit, WARN)));
    }
    let lost = told.incidents.lost();
    assert_eq!((told.incidents.firing().count(), told.events.len()), (MAX_INCIDENTS, MAX_INCIDENTS));
    assert_eq!(lost.alarms_over_limit, 30, "in each of three windows");
    assert_eq!(lost.incidents_over_limit, (MAX_ALARMS - MAX_INCIDENTS) as u64, "each once");
    assert!(size_of::<Entry>() + size_of::<Subject>() <= 320, "{}", size_of::<Entry>() + size_of::<Subject>());
    // When they are over there is room again.
    for _ in 0..20 {
        told.window(&SIGNAL, units.iter().map(|unit| (unit, Finding::Clear)));
    }
    assert_eq!((told.incidents.alarms, told.incidents.open), (0, 0));
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
    fn whatever_is_found(windows in prop::collection::vec((prop::collection::vec(findings(), 8), 1u64..60), 0..150)) {
        let units: Vec<Subject> = (0..8).map(|i| edge(&format!("s{i}"))).collect();
        let mut told = Told::default();
        for (findings, seconds) in windows {
            told.now_ns += seconds * S;
            told.window(&SIGNAL, units.iter().zip(findings).filter_map(|(unit, f)| Some((unit, f?))));
            // One incident a unit, and only of what fires.
            let firing: Vec<_> = told.incidents.firing().map(|alert| alert.unit().clone()).collect();
            prop_assert!(firing.windows(2).all(|two| two[0] < two[1]));
            prop_assert_eq!(told.incidents.signals.values().map(BTreeMap::len).sum::<usize>(), told.incidents.alarms);
            let open = told.incidents.signals.values().flat_map(BTreeMap::values).filter(|e| e.incident.is_some());
            prop_assert_eq!(open.count(), told.incidents.open);
        }
        for (i, (at_ns, notification)) in told.sent.iter().enumerate() {
            let recent = told.sent[..i].iter().filter(|(then_ns, _)| at_ns - then_ns < SPAN_NS);
            prop_assert!(recent.clone().count() < MAX_A_SPAN);
            prop_assert!(recent.clone().all(|(_, earlier)| earlier.alert.id() != notification.alert.id()));
            let severity = notification.alert.severity();
            prop_assert!(severity.level() >= Level::Warn);
            prop_assert_eq!(severity.level() == Level::Critical, severity.keys().is_some());
        }
    }
}
