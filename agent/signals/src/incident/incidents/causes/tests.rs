use super::*;
use crate::{
    finding::Finding,
    incident::{
        alarm::Ended,
        decisions::Happened,
        incidents::Incidents,
        severity::{Effect, Resource, Severity},
    },
    report::{Report, alert::tests::report},
    row::Signal,
    table::SIGNALS,
    window::Moment,
};
use weir_engine::Kind;

const S: u64 = 1_000_000_000;
const FDS: Signal = Signal::named(name::FDS_EXHAUSTED);
const QUEUE: Signal = Signal::named(name::ACCEPT_QUEUE);
const HUNG: Signal = Signal::named(name::HUNG_REQUEST);
const NONE_LEFT: &str = class::FDS_NONE_LEFT;
const WARN: Finding = Finding::Raise(Severity::Warn);

/// The accept queue as a cause of its own: descriptors, queue, requests.
const CHAIN: Graph = Graph(&[
    Link { cause: FDS.name, class: Some(NONE_LEFT), effects: &[QUEUE.name] },
    Link { cause: QUEUE.name, class: None, effects: &[HUNG.name] },
]);
/// And requests that hang as the cause of what they come from.
const CYCLE: Graph = Graph(&[
    Link { cause: FDS.name, class: None, effects: &[QUEUE.name] },
    Link { cause: QUEUE.name, class: None, effects: &[HUNG.name] },
    Link { cause: HUNG.name, class: None, effects: &[FDS.name, HUNG.name] },
]);

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

type Row = (&'static Signal, Subject, Finding, &'static str);

fn no_descriptors() -> Row {
    (&FDS, process(), WARN, NONE_LEFT)
}

fn full_queue() -> Row {
    (&QUEUE, port("web"), critical(), "full")
}

fn hung() -> Row {
    (&HUNG, Subject::edge(service("app"), service("web"), Some(80)), critical(), "no answer")
}

/// The same subject without a fault.
fn well((signal, subject, ..): Row) -> Row {
    (signal, subject, Finding::Clear, "")
}

/// Incidents fed with a window every five seconds.
#[derive(Default)]
struct Feed {
    incidents: Incidents,
    now_s: u64,
    /// When, what, of which signal, at which level, and whether it follows from another.
    events: Vec<(u64, Happened, &'static str, Level, bool)>,
    notified: Vec<&'static str>,
}

impl Feed {
    fn with(graph: Graph) -> Self {
        Self { incidents: Incidents { graph, ..Incidents::default() }, ..Self::default() }
    }

    fn windows(&mut self, n: u64, findings: &[Row]) -> &mut Self {
        for _ in 0..n {
            self.now_s += 5;
            self.incidents.begin(Moment { monotonic_ns: self.now_s * S, unix_ns: 0 });
            for (signal, subject, finding, class) in findings {
                let report = || report().map(|report| Report { class: Some(class), ..report });
                self.incidents.judge(signal, subject, *finding, report);
            }
            let decisions = self.incidents.finish();
            let events = decisions.events.iter().map(|event| {
                let document = event.alert.document();
                let level = event.alert.severity().level();
                (self.now_s, event.happened, document.signal, level, document.caused_by.is_some())
            });
            self.events.extend(events);
            self.notified.extend(decisions.notifications.iter().map(|sent| sent.alert.document().signal));
        }
        self
    }

    /// Of what fires: signal, level, and the signal of the incident that it is caused by.
    fn firing(&self) -> Vec<(&'static str, Level, Option<&'static str>)> {
        let signal_of = |id: &str| {
            let known = SIGNALS.iter().find(|signal| id.starts_with(signal.name));
            known.expect("an id begins with its signal").name
        };
        let firing = self.incidents.firing();
        let each =
            firing.map(|alert| (alert.document().signal, alert.severity().level(), alert.caused_by().map(signal_of)));
        each.collect()
    }
}

#[test]
fn links_name_signals_and_classes_of_the_table_and_have_no_cycle() {
    let row = |name: &str| SIGNALS.iter().find(|signal| signal.name == name).expect("a row of the table");
    for link in LINKS {
        let classes = row(link.cause).classes;
        assert!(link.class.is_none_or(|class| classes.contains(&class)), "{:?}", link.class);
        assert!(link.effects.iter().all(|effect| row(effect).name == *effect));
    }
    // Without a cycle, taking away the links of signals that follow from nothing leaves none in the end.
    let mut links: Vec<&Link> = LINKS.iter().collect();
    while !links.is_empty() {
        let effects: Vec<&str> = links.iter().flat_map(|link| link.effects).copied().collect();
        let before = links.len();
        links.retain(|link| effects.contains(&link.cause));
        assert!(links.len() < before, "a cycle");
    }
}

#[test]
fn a_consequence_does_not_page_and_its_cause_inherits_the_page() {
    let mut feed = Feed::default();
    feed.windows(2, &[no_descriptors(), full_queue()]);
    let raised = [
        (10, Happened::Raised, "fds_exhausted", Level::Critical, false),
        (10, Happened::Raised, "accept_queue", Level::Info, true),
    ];
    assert_eq!((feed.events.as_slice(), feed.notified.as_slice()), (&raised[..], &["fds_exhausted"][..]));
    let firing: Vec<_> = feed.incidents.firing().collect();
    assert_eq!(firing[0].caused_by(), Some(firing[1].id()));
    assert!(firing[0].text().ends_with(&format!("; caused by {}", firing[1].id())), "{}", firing[0].text());
    feed.windows(20, &[no_descriptors(), full_queue()]);
    assert_eq!(feed.events.len(), 2, "as long as both go on");
}

/// SYNs are dropped at once; descriptors are polled every five seconds.
#[test]
fn an_incident_that_precedes_its_cause_becomes_a_consequence() {
    let mut feed = Feed::default();
    feed.windows(2, &[full_queue()]);
    feed.windows(2, &[full_queue(), no_descriptors()]);
    let events = [
        (10, Happened::Raised, "accept_queue", Level::Critical, false),
        (20, Happened::Raised, "fds_exhausted", Level::Critical, false),
        (20, Happened::Level { from: Level::Critical }, "accept_queue", Level::Info, true),
    ];
    assert_eq!(feed.events, events);
}

#[test]
fn it_is_a_consequence_for_a_minute_after_its_cause_and_then_an_incident_again() {
    let mut feed = Feed::default();
    feed.windows(2, &[no_descriptors(), full_queue()]);
    feed.windows(18, &[well(no_descriptors()), full_queue()]);
    let later = &feed.events[2..];
    let ended = (25, Happened::Resolved(Ended::Cleared), "fds_exhausted", Level::Critical, false);
    let again = (95, Happened::Level { from: Level::Info }, "accept_queue", Level::Critical, false);
    assert_eq!(later, [ended, again]);
    assert_eq!(feed.notified, ["fds_exhausted", "accept_queue"]);
}

#[test]
fn another_service_and_another_class_are_no_cause() {
    for (name, class) in [("other", NONE_LEFT), ("web", "near")] {
        let mut feed = Feed::default();
        feed.windows(3, &[(&FDS, process(), WARN, class), (&QUEUE, port(name), critical(), "full")]);
        let levels: Vec<_> = feed.events.iter().map(|(.., level, caused)| (*level, *caused)).collect();
        assert_eq!(levels, [(Level::Warn, false), (Level::Critical, false)], "{name} {class}");
    }
}

#[test]
fn of_a_chain_of_three_everything_is_caused_by_the_root_which_alone_pages() {
    let mut feed = Feed::with(CHAIN);
    let mut queue = full_queue();
    queue.2 = WARN;
    feed.windows(2, &[no_descriptors(), queue.clone(), hung()]);
    let (fds, effect) = ("fds_exhausted", |signal| (signal, Level::Info, Some("fds_exhausted")));
    let all = [effect("accept_queue"), (fds, Level::Critical, None), effect("hung_request")];
    assert_eq!(feed.firing(), all, "with the keys of requests that hang");
    assert_eq!(feed.notified, [fds]);
    let keys = feed.incidents.firing().find_map(|alert| alert.severity().keys());
    assert_eq!(keys.map(|keys| keys.effect), Some(Effect::LatencyUp));

    // A minute after its end the root is forgotten, and what followed from it directly is the root of the rest.
    feed.windows(16, &[well(no_descriptors()), queue.clone(), hung()]);
    assert_eq!(feed.firing(), [all[0], all[2]], "for a minute");
    feed.windows(1, &[queue.clone(), hung()]);
    let rest = [("accept_queue", Level::Critical, None), ("hung_request", Level::Info, Some("accept_queue"))];
    assert_eq!(feed.firing(), rest);
    assert_eq!(feed.notified, [fds, "accept_queue"]);

    // The root comes back, and both are its consequences again.
    feed.windows(2, &[no_descriptors(), queue, hung()]);
    assert_eq!(feed.firing(), all);
}

#[test]
fn a_chain_without_its_middle_is_two_incidents() {
    let mut feed = Feed::with(CHAIN);
    feed.windows(2, &[no_descriptors(), hung()]);
    assert_eq!(feed.firing(), [("fds_exhausted", Level::Warn, None), ("hung_request", Level::Critical, None)]);
}

#[test]
fn of_a_cycle_the_first_to_open_is_the_root_whatever_the_order_of_findings() {
    let rows = [no_descriptors(), full_queue(), hung()];
    for first in 0..3 {
        let root = rows[first].0.name;
        for backwards in [false, true] {
            let mut all = rows.to_vec();
            if backwards {
                all.reverse();
            }
            let mut feed = Feed::with(CYCLE);
            feed.windows(2, &[rows[first].clone()]).windows(30, &all);
            let firing = feed.firing();
            assert_eq!(firing.len(), 3);
            for (signal, level, caused_by) in firing {
                let expected = if signal == root { (Level::Critical, None) } else { (Level::Info, Some(root)) };
                assert_eq!((level, caused_by), expected, "{signal}, {root} first");
            }
            assert_eq!(feed.events.iter().filter(|event| event.1 == Happened::Raised).count(), 3);
        }
    }
}

/// Nothing was first: still one root, and the same in every run.
#[test]
fn a_cycle_that_opens_in_one_window_has_one_root() {
    let firing = |rows: &[Row]| {
        let mut feed = Feed::with(CYCLE);
        feed.windows(5, rows);
        assert_eq!(feed.notified.len(), 1, "{:?}", feed.notified);
        feed.firing()
    };
    let forwards = firing(&[no_descriptors(), full_queue(), hung()]);
    assert_eq!(forwards, firing(&[hung(), full_queue(), no_descriptors()]));
    assert_eq!(forwards.iter().filter(|(.., caused_by)| caused_by.is_none()).count(), 1, "{forwards:?}");
}
