//! What is said of an incident: the report, who it is about, and how it stands.

use std::fmt::Write as _;

use crate::{
    incident::{alarm::State, severity::Severity},
    report::{
        Report,
        contract::{Confidence, Defect, RuledOut},
        evidence::{Compared, Evidence},
    },
    subject::Subject,
};

/// Characters of text that an alert may have: a page on a telephone, a dozen lines of a terminal.
pub const MAX_TEXT: usize = 900;
/// Room for what may be said of it later: that it resolves, that it is critical.
const LATER: usize = 20;

/// An alert that says all that it must. There is no other way to one than `Alert::new`.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    unix_ns: u64,
    id: String,
    signal: &'static str,
    severity: Severity,
    state: State,
    unit: Subject,
    during: Option<String>,
    caused_by: Option<String>,
    report: Report,
}

/// When, what, how bad: what an alert has besides its report.
#[derive(Clone, Debug, PartialEq)]
pub struct Heading {
    /// Nanoseconds since 1970.
    pub unix_ns: u64,
    /// The incident's.
    pub id: String,
    /// The signal's name.
    pub signal: &'static str,
    /// With its proof, if it is critical.
    pub severity: Severity,
    /// How the incident stands.
    pub state: State,
    /// Who it is about.
    pub unit: Subject,
    /// What has happened around it, in words.
    pub during: Option<String>,
}

impl Alert {
    /// An alert.
    ///
    /// # Errors
    /// When its text is longer than `MAX_TEXT`, or may come to be.
    pub fn new(heading: Heading, report: Report) -> Result<Self, Defect> {
        let Heading { unix_ns, id, signal, severity, state, unit, during } = heading;
        let alert = Self { unix_ns, id, signal, severity, state, unit, during, caused_by: None, report };
        if alert.text().chars().count() > MAX_TEXT - LATER { Err(Defect::TooLong) } else { Ok(alert) }
    }

    /// The incident's id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The same for every incident of this signal and unit: the id without its time.
    pub fn dedupe_key(&self) -> &str {
        self.id.rsplit_once('-').map_or(&self.id, |(key, _)| key)
    }

    /// How bad, with its proof.
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// Who it is about.
    pub fn unit(&self) -> &Subject {
        &self.unit
    }

    /// Which of the signal's kinds it is.
    pub(crate) fn class(&self) -> Option<&'static str> {
        self.report.class
    }

    /// The incident that this one comes from, by its id.
    pub fn caused_by(&self) -> Option<&str> {
        self.caused_by.as_deref()
    }

    /// It comes from another one, or no more.
    pub(crate) fn set_caused_by(&mut self, id: Option<String>) {
        self.caused_by = id;
    }

    /// The same later on.
    pub(crate) fn set_status(&mut self, unix_ns: u64, state: State, severity: Severity) {
        self.unix_ns = unix_ns;
        self.state = state;
        self.severity = severity;
    }

    /// The fields of the document.
    pub fn document(&self) -> Document<'_> {
        let Self { unix_ns, id, signal, severity, state, unit, during, caused_by, report } = self;
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
            client: unit.client(),
            server: unit.callee(),
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

    /// The same for a terminal, of at most `MAX_TEXT` characters: all that an alert must say, and of the rest what fits. The
    /// document has all of it.
    pub fn text(&self) -> String {
        let Self { id, signal, severity, state, unit, during, caused_by, report, unix_ns: _ } = self;
        let Report { class, what, place, why, evidence, origin, ruled_out, confidence } = report;
        let percent = |c: &Confidence| format!("{:.0}%", c.value() * 100.0);
        let mut lines = [
            format!("{} {signal} {unit}", severity.level().name().to_uppercase()),
            format!("  What: {what}"),
            format!("  Look: {place}"),
            format!("  Why it matters: {why}"),
            format!("  Evidence: {}", said(evidence.iter().take(3), ", ")),
            format!("  Not: {}", said(ruled_out.iter().take(1), "; ")),
            format!(
                "  Origin: {} ({}); sure: {}; id {id}",
                origin.node,
                percent(&origin.confidence),
                percent(confidence)
            ),
        ];
        if *state != State::Firing {
            let _ = write!(lines[0], " ({})", state.name());
        }
        let length = |text: &str| text.chars().count() + 1;
        let mut room = (MAX_TEXT - LATER).saturating_sub(lines.iter().map(|line| length(line)).sum());
        let mut more = |line: usize, text: String| {
            if let Some(left) = room.checked_sub(length(&text)) {
                room = left;
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

fn said<T: std::fmt::Display>(items: impl Iterator<Item = T>, separator: &str) -> String {
    items.map(|item| item.to_string()).collect::<Vec<_>>().join(separator)
}

/// An alert's fields by their names in JSON, in order. Exporters write them as they are.
#[derive(Clone, Debug, PartialEq)]
pub struct Document<'a> {
    /// Nanoseconds since 1970.
    pub ts: u64,
    /// The incident's id: the same for as long as it goes on.
    pub id: &'a str,
    /// The signal's name.
    pub signal: &'static str,
    /// `info`, `warn` or `critical`.
    pub severity: &'static str,
    /// `ok`, `firing` or `resolving`.
    pub state: &'static str,
    /// Which of the signal's kinds it is.
    pub class: Option<&'static str>,
    /// Who calls.
    pub client: Option<String>,
    /// Who is called, or who it is about.
    pub server: Option<String>,
    /// How much of what, against what is normal.
    pub what: &'a str,
    /// Where to look.
    pub r#where: &'a str,
    /// What it costs.
    pub why: String,
    /// Three or more numbers.
    pub evidence: Vec<Item>,
    /// Where it is thought to come from.
    pub origin: Suspect<'a>,
    /// One thing or more that it is not.
    pub ruled_out: Vec<&'a str>,
    /// How sure: 0 to 1.
    pub confidence: f64,
    /// The id of the incident that this one comes from.
    pub caused_by: Option<&'a str>,
}

/// A piece of evidence.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// What it is called.
    pub name: &'static str,
    /// How much.
    pub value: f64,
    /// Of what.
    pub unit: &'static str,
    /// What is normal.
    pub baseline: Option<f64>,
    /// Length of the window that it is of.
    pub window_s: f64,
    /// Events that it is of.
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

/// An origin.
#[derive(Clone, Debug, PartialEq)]
pub struct Suspect<'a> {
    /// A service, process or edge.
    pub node: &'a str,
    /// How sure: 0 to 1.
    pub confidence: f64,
}

#[cfg(test)]
pub(crate) mod tests;
