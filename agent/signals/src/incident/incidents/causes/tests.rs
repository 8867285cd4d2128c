use super::*;
use crate::{
    finding::Finding,
    incident::{
        alarm::Ended,
        decisions::Happened,
        incidents::Incidents,
        severity::{Effect, Resource, Severity},
    },
    report::alert::tests::report,
    table::{SIGNALS, Signal},
    window::Moment,
};
use weir_engine::Kind;

const S: u64 = 1_000_000_000;
const FDS: Signal = Signal::named("fds_exhausted");
const QUEUE: Signal = Signal::named("accept_queue");
const WARN: Finding = Finding::Raise(Severity::Warn);

fn service(name: &str) -> Service {
    Service { kind: Kind::Executable, namespace: None, name: name.into() }
}

fn process() -> Subject {
    Subject::process(service("web"), 7)
}

fn port(name: &str) -> Subject {
    Subject::server(service(name), Some(80))
}

fn critical() -> Finding {
    Finding::Raise(Severity::of(Level::Critical, Some(Resource::Queue), Some(Effect::LatencyUp)))
}

#[derive(Default)]
struct Told {
    incidents: Incidents,
    now_s: u64,
    /// When, what, of which signal, how bad, and whether it comes from another.
    events: Vec<(u64, Happened, &'static str, Level, bool)>,
    notified: Vec<&'static str>,
}

impl Told {
    fn windows(&mut self, n: u64, findings: &[(&Signal, Subject, Finding, &'static str)]) -> &mut Self {
        for _ in 0..n {
            self.now_s += 5;
            self.incidents.begin(Moment { monotonic_ns: self.now_s * S, unix_ns: 0 });
            for (signal, unit, finding, class) in findings {
                let report = || report().map(|report| crate::report::Report { class: Some(class), ..report });
                self.incidents.judge(signal, unit, *finding, report);
            }
            let told = self.incidents.finish();
            let events = told.events.iter().map(|event| {
                let document = event.alert.document();
                let level = event.alert.severity().level();
                (self.now_s, event.happened, document.signal, level, document.caused_by.is_some())
            });
            self.events.extend(events);
            self.notified.extend(told.notifications.iter().map(|sent| sent.alert.document().signal));
        }
        self
    }
}

#[test]
fn no_link_is_to_nothing_and_none_is_to_a_cause() {
    let exists = |name: &str| SIGNALS.iter().any(|signal| signal.name == name);
    for link in LINKS {
        assert!(exists(link.cause) && link.effects.iter().all(|effect| exists(effect)));
        assert!(link.effects.iter().all(|effect| LINKS.iter().all(|other| other.cause != *effect)));
    }
}

#[test]
fn a_consequence_is_no_alarm_and_its_cause_is_as_bad() {
    let mut told = Told::default();
    told.windows(2, &[(&FDS, process(), WARN, "none left"), (&QUEUE, port("web"), critical(), "full")]);
    let raised = [
        (10, Happened::Raised, "fds_exhausted", Level::Critical, false),
        (10, Happened::Raised, "accept_queue", Level::Info, true),
    ];
    assert_eq!((told.events.as_slice(), told.notified.as_slice()), (&raised[..], &["fds_exhausted"][..]));
    let firing: Vec<_> = told.incidents.firing().collect();
    assert_eq!(firing[0].caused_by(), Some(firing[1].id()));
    assert!(firing[0].text().ends_with(&format!("; caused by {}", firing[1].id())), "{}", firing[0].text());
    told.windows(20, &[(&FDS, process(), WARN, "none left"), (&QUEUE, port("web"), critical(), "full")]);
    assert_eq!(told.events.len(), 2, "as long as both go on");
}

/// SYNs are dropped at once, descriptors are polled.
#[test]
fn what_came_before_its_cause_was_known_becomes_its_consequence() {
    let mut told = Told::default();
    told.windows(2, &[(&QUEUE, port("web"), critical(), "full")]);
    told.windows(2, &[(&QUEUE, port("web"), critical(), "full"), (&FDS, process(), WARN, "none left")]);
    let events = [
        (10, Happened::Raised, "accept_queue", Level::Critical, false),
        (20, Happened::Raised, "fds_exhausted", Level::Critical, false),
        (20, Happened::Level { from: Level::Critical }, "accept_queue", Level::Info, true),
    ];
    assert_eq!(told.events, events);
}

#[test]
fn it_is_a_consequence_for_a_minute_after_its_cause_and_then_an_incident_again() {
    let mut told = Told::default();
    told.windows(2, &[(&FDS, process(), WARN, "none left"), (&QUEUE, port("web"), critical(), "full")]);
    told.windows(18, &[(&FDS, process(), Finding::Clear, ""), (&QUEUE, port("web"), critical(), "full")]);
    let later = &told.events[2..];
    let ended = (25, Happened::Resolved(Ended::Cleared), "fds_exhausted", Level::Critical, false);
    let again = (95, Happened::Level { from: Level::Info }, "accept_queue", Level::Critical, false);
    assert_eq!(later, [ended, again]);
    assert_eq!(told.notified, ["fds_exhausted", "accept_queue"]);
}

#[test]
fn others_are_no_consequence() {
    for (name, class) in [("other", "none left"), ("web", "near")] {
        let mut told = Told::default();
        told.windows(3, &[(&FDS, process(), WARN, class), (&QUEUE, port(name), critical(), "full")]);
        let levels: Vec<_> = told.events.iter().map(|(.., level, caused)| (*level, *caused)).collect();
        assert_eq!(levels, [(Level::Warn, false), (Level::Critical, false)], "{name} {class}");
    }
}
