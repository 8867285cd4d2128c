use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::{
    incident::severity::{Effect, Level, Resource},
    report::{
        contract::{Origin, Place, What, Where, Why},
        quantity::{Measure, Quantity},
    },
};
use weir_engine::{Kind, Service};

const WINDOW_NS: u64 = 5_000_000_000;

fn service(name: &str) -> Service {
    Service { kind: Kind::Executable, namespace: None, name: Arc::from(name) }
}

fn quantity(value: f64, measure: Measure) -> Quantity {
    Quantity::new(value, measure).expect("a number")
}

fn evidence(name: &'static str, baseline: Option<f64>) -> Evidence {
    let value = quantity(0.5, Measure::Ratio);
    Evidence::new(name, value, baseline.map(Compared::Learned), WINDOW_NS, 50).expect("evidence")
}

fn made(evidence: [Evidence; 3]) -> Result<Report, Defect> {
    let first = self::evidence("failing calls", Some(0.0));
    let place = Place::Address("10.0.0.2:6379".parse().expect("address"));
    let confidence = Confidence::new(0.9)?;
    Report::new(
        Some("refused"),
        What::new(&first, "of calls fail")?,
        Where::new("what listens at", &place, "ss -ltnp")?,
        Why::new(quantity(10.0, Measure::Rate("calls/s")), "are lost")?,
        evidence,
        Origin::new(&service("redis"), confidence)?,
        RuledOut::new("the network", quantity(0.0, Measure::Count("segments")), "retransmitted")?,
        confidence,
    )
}

/// A complete report.
pub(crate) fn report() -> Result<Report, Defect> {
    made([evidence("failing calls", Some(0.0)), evidence("refused", None), evidence("answered", None)])
}

fn heading(subject: Subject) -> Heading {
    let severity = Severity::of(Level::Critical, Some(Resource::Errors), Some(Effect::Refused));
    let (id, signal, state) = ("edge_errors-1".into(), "edge_errors", State::Firing);
    Heading { unix_ns: 5, id, signal, severity, state, subject, during: None }
}

fn edge() -> Subject {
    Subject::edge(service("app"), service("redis"), Some(6379))
}

#[test]
fn the_text_has_all_parts() {
    let during = Some("during start of redis, 12 s before".to_owned());
    let alert = Alert::new(Heading { during, ..heading(edge()) }, report().expect("report")).expect("alert");
    let expected = "CRITICAL edge_errors app -> redis:6379
  What: 50% of calls fail (50 in 5 s, normal 0%); keys: errors, refused; class: refused
  Look: what listens at 10.0.0.2:6379: ss -ltnp
  Impact: 10 calls/s are lost; during start of redis, 12 s before
  Evidence: failing calls 50% (normal 0%), refused 50%, answered 50%
  Ruled out: the network: 0 segments retransmitted
  Origin: redis (90%); confidence: 90%; id edge_errors-1";
    assert_eq!(alert.text(), expected);
}

#[test]
fn the_document_has_the_same() {
    let alert = Alert::new(heading(edge()), report().expect("report")).expect("alert");
    let document = alert.document();
    assert_eq!((document.client.as_deref(), document.server.as_deref()), (Some("app"), Some("redis:6379")));
    assert_eq!((document.severity, document.state, document.class), ("critical", "firing", Some("refused")));
    assert_eq!((document.evidence.len(), document.ruled_out.len()), (3, 1));
    let first = Item { name: "failing calls", value: 0.5, unit: "ratio", baseline: Some(0.0), window_s: 5.0, n: 50 };
    assert_eq!(document.evidence[0], first);
    assert_eq!(document.origin, Suspect { node: "redis", confidence: 0.9 });
}

#[test]
fn pieces_of_evidence_differ() {
    let twice = [evidence("refused", Some(0.0)), evidence("refused", None), evidence("answered", None)];
    assert_eq!(made(twice), Err(Defect::SameEvidence));
    let last = [evidence("answered", Some(0.0)), evidence("refused", None), evidence("answered", None)];
    assert_eq!(made(last), Err(Defect::SameEvidence));
}

#[test]
fn one_piece_of_evidence_has_a_baseline() {
    let none = [evidence("refused", None), evidence("failing", None), evidence("answered", None)];
    assert_eq!(made(none), Err(Defect::NoBaseline));
}

#[test]
fn what_does_not_fit_the_text_is_in_the_document() {
    const NAMES: [&str; 7] = ["a1", "a2", "a3", "a4", "a5", "a6", "a7"];
    let mut report = report().expect("report");
    for (i, name) in NAMES.into_iter().enumerate() {
        let cause = RuledOut::new(&format!("cause {i}"), quantity(1e-3, Measure::Seconds), &"y".repeat(60));
        report = report.with_evidence(evidence(name, Some(0.5))).without(cause.expect("a cause"));
    }
    let alert = Alert::new(heading(edge()), report).expect("it fits");
    let text = alert.text();
    assert!(text.chars().count() <= MAX_TEXT && text.contains("cause 1") && !text.contains("cause 6"), "{text}");
    assert_eq!((alert.document().evidence.len(), alert.document().ruled_out.len()), (8, 8));
}

#[test]
fn too_long_is_refused() {
    let during = Some("x".repeat(MAX_TEXT));
    let without = Alert::new(Heading { during, ..heading(edge()) }, report().expect("report"));
    assert!(without.is_ok_and(|alert| !alert.text().contains("xxx")), "optional parts are left out");
    let id = "x".repeat(MAX_TEXT);
    let long = Alert::new(Heading { id, ..heading(edge()) }, report().expect("report"));
    assert_eq!(long, Err(Defect::TooLong));
}

proptest! {
    /// Processes choose their names.
    #[test]
    fn any_names_fit(client in ".{0,200}", server in ".{0,200}", pid in any::<u32>(), port in any::<Option<u16>>()) {
        let subject = Subject::edge_of_process(service(&client), pid, service(&server), port);
        let alert = Alert::new(heading(subject), report().expect("report"));
        let text = alert.map(|alert| alert.text()).expect("it fits");
        prop_assert!(text.lines().count() == 7 && !text.contains('\x1b'), "{text}");
    }
}
