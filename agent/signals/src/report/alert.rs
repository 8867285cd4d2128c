//! The alert of an incident: its report, subject and state, as text and as a document.

use std::fmt::Write as _;

use crate::{
    incident::{alarm::State, severity::Severity},
    report::{
        Report,
        contract::{Confidence, RuledOut},
        defect::Defect,
        evidence::{Compared, Evidence},
    },
    subject::Subject,
};

/// Most characters of an alert's text. A choice: one screen of a phone, a dozen lines of a terminal.
pub const MAX_TEXT: usize = 900;
/// Kept free for what may be added later: ` (resolving)`, and `CRITICAL` in place of `INFO`.
const LATER: usize = 20;

/// A complete alert, which only `Alert::new` makes.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    unix_ns: u64,
    id: String,
    signal: &'static str,
    severity: Severity,
    state: State,
    subject: Subject,
    during: Option<String>,
    caused_by: Option<String>,
    report: Report,
}

/// What an alert has besides its report.
#[derive(Clone, Debug, PartialEq)]
pub struct Heading {
    /// Nanoseconds since 1970.
    pub unix_ns: u64,
    /// The incident's id.
    pub id: String,
    /// The signal's name.
    pub signal: &'static str,
    /// Severity, with its proof if critical.
    pub severity: Severity,
    /// State of the incident.
    pub state: State,
    /// What it is about.
    pub subject: Subject,
    /// A recent change of a service of the subject, in words.
    pub during: Option<String>,
}

impl Alert {
    /// Makes an alert.
    ///
    /// # Errors
    /// `TooLong` when what its text must say is longer than `MAX_TEXT`, or may become so: shorten the phrases.
    pub fn new(heading: Heading, report: Report) -> Result<Self, Defect> {
        let Heading { unix_ns, id, signal, severity, state, subject, during } = heading;
        let alert = Self { unix_ns, id, signal, severity, state, subject, during, caused_by: None, report };
        if alert.text().chars().count() > MAX_TEXT - LATER { Err(Defect::TooLong) } else { Ok(alert) }
    }

    /// The incident's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The same for every incident of this signal and subject: the id without its time.
    pub fn dedupe_key(&self) -> &str {
        self.id.rsplit_once('-').map_or(&self.id, |(key, _)| key)
    }

    /// Severity, with its proof.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// What it is about.
    pub fn subject(&self) -> &Subject {
        &self.subject
    }

    /// The class of the report, which may change from window to window.
    pub(crate) fn class(&self) -> Option<&'static str> {
        self.report.class
    }

    /// Id of the incident that is the root cause of this one.
    pub fn caused_by(&self) -> Option<&str> {
        self.caused_by.as_deref()
    }

    /// Sets the root cause; `None` if there is none.
    pub(crate) fn set_caused_by(&mut self, id: Option<String>) {
        self.caused_by = id;
    }

    /// Sets what changes without a new report.
    pub(crate) fn set_status(&mut self, unix_ns: u64, state: State, severity: Severity) {
        self.unix_ns = unix_ns;
        self.state = state;
        self.severity = severity;
    }

    /// The fields of the document.
    pub fn document(&self) -> Document<'_> {
        let Self { unix_ns, id, signal, severity, state, subject, during, caused_by, report } = self;
        let Report { class, what, place, why, evidence, origin, ruled_out, confidence } = report;
        let why = match during {
            Some(during) => format!("{why}; {during}"),
            None => why.to_string(),
        };
        Document {
            ts: *unix_ns,
            id,
            signal,
            severity: severity.level().name(),
            state: state.name(),
            class: *class,
            client: subject.client(),
            server: subject.callee(),
            what: what.as_str(),
            r#where: place.as_str(),
            why,
            evidence: evidence.iter().map(Item::of).collect(),
            origin: Suspect { node: &origin.node, confidence: origin.confidence.value() },
            ruled_out: ruled_out.iter().map(RuledOut::as_str).collect(),
            confidence: confidence.value(),
            caused_by: caused_by.as_deref(),
        }
    }

    /// The alert for a terminal, seven lines and at most `MAX_TEXT` characters: the required parts, and of the rest what
    /// fits. The document has everything.
    pub fn text(&self) -> String {
        let Self { id, signal, severity, state, subject, during, caused_by, report, unix_ns: _ } = self;
        let Report { class, what, place, why, evidence, origin, ruled_out, confidence } = report;
        let percent = |c: &Confidence| format!("{:.0}%", c.value() * 100.0);
        let mut lines = [
            format!("{} {signal} {subject}", severity.level().name().to_uppercase()),
            format!("  What: {what}"),
            format!("  Look: {place}"),
            format!("  Impact: {why}"),
            format!("  Evidence: {}", joined(evidence.iter().take(3), ", ")),
            format!("  Ruled out: {}", joined(ruled_out.iter().take(1), "; ")),
            format!(
                "  Origin: {} ({}); confidence: {}; id {id}",
                origin.node,
                percent(&origin.confidence),
                percent(confidence)
            ),
        ];
        if *state != State::Firing {
            let _ = write!(lines[0], " ({})", state.name());
        }
        let length = |text: &str| text.chars().count() + 1;
        let mut left = (MAX_TEXT - LATER).saturating_sub(lines.iter().map(|line| length(line)).sum());
        let mut more = |line: usize, text: String| {
            if let Some(rest) = left.checked_sub(length(&text)) {
                left = rest;
                lines[line].push_str(&text);
            }
        };
        caused_by.iter().for_each(|id| more(6, format!("; caused by {id}")));
        if let Some(keys) = severity.keys() {
            more(1, format!("; keys: {}, {}", keys.resource.name(), keys.effect.name()));
        }
        class.iter().for_each(|class| more(1, format!("; class: {class}")));
        during.iter().for_each(|during| more(3, format!("; {during}")));
        ruled_out.iter().skip(1).for_each(|item| more(5, format!("; {item}")));
        evidence.iter().skip(3).for_each(|item| more(4, format!(", {item}")));
        lines.join("\n")
    }
}

fn joined<T: std::fmt::Display>(items: impl Iterator<Item = T>, separator: &str) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(separator)
}

/// An alert's fields by their names in JSON, in order. Exporters write them unchanged.
#[derive(Clone, Debug, PartialEq)]
pub struct Document<'a> {
    /// Nanoseconds since 1970.
    pub ts: u64,
    /// The incident's id: the same while it lasts.
    pub id: &'a str,
    /// The signal's name.
    pub signal: &'static str,
    /// `info`, `warn` or `critical`.
    pub severity: &'static str,
    /// `ok`, `firing` or `resolving`.
    pub state: &'static str,
    /// The class within the signal.
    pub class: Option<&'static str>,
    /// The caller.
    pub client: Option<String>,
    /// The callee, or the server or process that it is about.
    pub server: Option<String>,
    /// How much of what, compared with its baseline.
    pub what: &'a str,
    /// Where to look: a place and a command.
    pub r#where: &'a str,
    /// The impact, and a recent change.
    pub why: String,
    /// Three or more numbers.
    pub evidence: Vec<Item>,
    /// The suspected origin.
    pub origin: Suspect<'a>,
    /// Causes ruled out, at least one.
    pub ruled_out: Vec<&'a str>,
    /// Confidence in the report: 0 to 1.
    pub confidence: f64,
    /// Id of the incident that is the root cause of this one.
    pub caused_by: Option<&'a str>,
}

/// A piece of evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// Its name.
    pub name: &'static str,
    /// The value.
    pub value: f64,
    /// Its unit of measure.
    pub unit: &'static str,
    /// What it is compared with, in the same unit.
    pub baseline: Option<f64>,
    /// Length of its window, seconds.
    pub window_s: f64,
    /// Number of events in it.
    pub n: u64,
}

impl Item {
    fn of(evidence: &Evidence) -> Self {
        Self {
            name: evidence.name(),
            value: evidence.quantity().value(),
            unit: evidence.quantity().measure().unit(),
            baseline: evidence.baseline().map(Compared::value),
            window_s: evidence.window_s(),
            n: evidence.n(),
        }
    }
}

/// A suspected origin.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspect<'a> {
    /// A service, process or edge.
    pub node: &'a str,
    /// Confidence: 0 to 1.
    pub confidence: f64,
}

#[cfg(test)]
pub(crate) mod tests;
