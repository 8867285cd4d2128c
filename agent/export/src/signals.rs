//! Incidents as they begin, change and end: for a terminal, and as JSON.

use std::{
    collections::BTreeSet,
    io::{self, Write},
};

use weir_signals::{Document, Ended, Event, Happened, Item, Level, PendingAlarm, SIGNALS, Standing, WINDOW_NS};

use super::{
    json::{Json, Object},
    machine,
};

/// What shape the output has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A paragraph for each incident, a line when it changes or ends
    Text,
    /// One document at the end, with every incident as it last stood
    Json,
    /// One document a line, for each incident that begins, changes or ends
    Jsonl,
}

impl Form {
    /// Every shape: its name on the command line, and what it is.
    pub const ALL: &[(Self, &str, &str)] = &[
        (Self::Text, "text", "A paragraph for each incident, a line when it changes or ends"),
        (Self::Json, "json", "One document at the end, with every incident as it last stood"),
        (Self::Jsonl, "jsonl", "One document a line, for each incident that begins, changes or ends"),
    ];
}

/// Writes what happens to incidents, from updates of what stands: an update that was missed delays an event, and loses none
/// that still matters.
pub struct IncidentWriter {
    form: Form,
    /// The last event that was written.
    sequence: u64,
    /// Incidents that were written.
    written: BTreeSet<String>,
}

/// Ids remembered before those that are over are dropped.
const MOST_KEPT: usize = 1000;

impl IncidentWriter {
    /// Writes in this form.
    pub fn new(form: Form) -> Self {
        Self { form, sequence: 0, written: BTreeSet::new() }
    }

    /// Writes what has happened since the last update.
    ///
    /// # Errors
    /// What the writer returns.
    pub fn update(&mut self, out: &mut impl Write, standing: &Standing) -> io::Result<()> {
        for entry in standing.since(self.sequence) {
            let event = &entry.event;
            let is_new = self.written.insert(event.alert.id().to_owned());
            // Its beginning was in an update that was missed.
            if is_new && event.happened != Happened::Raised {
                self.event(out, &Event { happened: Happened::Raised, ..event.clone() }, standing)?;
            }
            self.event(out, event, standing)?;
            self.sequence = entry.sequence;
        }
        if self.written.len() > 2 * MOST_KEPT.max(standing.incidents.len()) {
            // Those that are over are not kept for ever, and need not be here.
            let ids = standing.incidents.iter().map(|entry| entry.event.alert.id().to_owned());
            self.written = ids.collect();
        }
        out.flush()
    }

    /// The end: the document, where that is the form.
    ///
    /// # Errors
    /// What the writer returns.
    pub fn finish(&self, out: &mut impl Write, standing: &Standing) -> io::Result<()> {
        if self.form == Form::Json {
            serde_json::to_writer_pretty(&mut *out, &document(standing))?;
            out.write_all(b"\n")?;
        }
        out.flush()
    }

    fn event(&self, out: &mut impl Write, event: &Event, standing: &Standing) -> io::Result<()> {
        match self.form {
            Form::Text => write_event(out, event)?,
            Form::Jsonl => {
                let document = object(&event.alert.document()).with("event", happened(event.happened));
                let document = machine::with(document, &standing.version, &standing.machine);
                serde_json::to_writer(&mut *out, &document)?;
                out.write_all(b"\n")?;
            }
            Form::Json => {}
        }
        Ok(())
    }
}

/// What was watched and found, in a line.
pub fn summary(standing: &Standing) -> String {
    let Standing { incidents, firing, windows, watched_ns, edges, not_kept, .. } = standing;
    let seconds = *watched_ns as f64 / 1e9;
    let what = match (incidents.len() as u64 + not_kept, windows) {
        (_, 0) => "no window of 5 s was seen whole: nothing was judged".to_owned(),
        (0, _) => "nothing wrong".to_owned(),
        (1, _) => format!("1 incident, {}", if *firing == 0 { "over" } else { "going on" }),
        (n, _) => format!("{n} incidents, {firing} of them going on"),
    };
    let lost = standing.losses();
    let lost: Vec<String> = lost.iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} {n}")).collect();
    let lost = if lost.is_empty() { String::new() } else { format!("; lost: {}", lost.join(", ")) };
    format!("{seconds:.0} s, {windows} windows, {edges} {}: {what}{lost}", if *edges == 1 { "edge" } else { "edges" })
}

fn document(standing: &Standing) -> Object {
    let signals =
        SIGNALS.iter().map(|signal| Object::new().with("name", signal.name).with("says", signal.summary).into());
    let incidents = standing.incidents.iter().map(|entry| object(&entry.event.alert.document()).into());
    let pending = standing.pending.iter().map(|pending| pending_of(pending).into());
    let lost = standing.losses().iter().fold(Object::new(), |object, (name, n)| object.with(name, *n));
    machine::with(Object::new(), &standing.version, &standing.machine)
        .with("watched_s", standing.watched_ns as f64 / 1e9)
        .with("windows", standing.windows)
        .with("window_s", WINDOW_NS as f64 / 1e9)
        .with("edges", standing.edges as u64)
        .with("signals", signals.collect::<Vec<Json>>())
        .with("incidents", incidents.collect::<Vec<Json>>())
        .with("pending", pending.collect::<Vec<Json>>())
        .with("lost", lost)
}

/// An alarm that does not fire yet.
pub(crate) fn pending_of(pending: &PendingAlarm) -> Object {
    let object = Object::new().with("signal", pending.signal).with("unit", pending.subject.to_string().as_str());
    object.with("held", pending.held.as_deref().map_or(Json::Null, Json::from))
}

fn write_event(out: &mut impl Write, event: &Event) -> io::Result<()> {
    let alert = &event.alert;
    let at = clock(alert.document().ts);
    let text = alert.text();
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    match event.happened {
        Happened::Raised => writeln!(out, "{at} {first}\n{rest}"),
        Happened::Continued => writeln!(out, "{at} AGAIN {first}\n{rest}"),
        Happened::Level { from } => writeln!(out, "{at} {} {first}\n{rest}", changed(from, alert.severity().level())),
        Happened::Resolved(ended) => {
            writeln!(out, "{at} {} {} {}  id {}", over(ended), alert.document().signal, alert.subject(), alert.id())
        }
    }
}

fn changed(from: Level, to: Level) -> &'static str {
    if to > from { "WORSE" } else { "BETTER" }
}

fn over(ended: Ended) -> &'static str {
    match ended {
        Ended::Cleared => "RESOLVED",
        Ended::WentSilent => "SILENT (nothing left to judge)",
    }
}

fn happened(happened: Happened) -> &'static str {
    match happened {
        Happened::Raised => "raised",
        Happened::Continued => "continued",
        Happened::Level { .. } => "level",
        Happened::Resolved(Ended::Cleared) => "resolved",
        Happened::Resolved(Ended::WentSilent) => "went_silent",
    }
}

/// UTC, to the second.
pub(crate) fn clock(unix_ns: u64) -> String {
    let second = unix_ns / 1_000_000_000 % 86_400;
    format!("{:02}:{:02}:{:02}Z", second / 3600, second / 60 % 60, second % 60)
}

pub(crate) fn object(document: &Document<'_>) -> Object {
    let Document {
        ts,
        id,
        signal,
        severity,
        state,
        class,
        client,
        server,
        what,
        r#where,
        why,
        evidence,
        origin,
        ruled_out,
        confidence,
        caused_by,
    } = document;
    let maybe = |text: Option<&str>| text.map_or(Json::Null, Json::from);
    Object::new()
        .with("ts", *ts as f64 / 1e9)
        .with("id", *id)
        .with("signal", *signal)
        .with("severity", *severity)
        .with("state", *state)
        .with("class", maybe(*class))
        .with("client", maybe(client.as_deref()))
        .with("server", maybe(server.as_deref()))
        .with("what", *what)
        .with("where", *r#where)
        .with("why", why.as_str())
        .with("evidence", evidence.iter().map(|item| evidence_of(item).into()).collect::<Vec<Json>>())
        .with("origin", Object::new().with("node", origin.node).with("confidence", origin.confidence))
        .with("ruled_out", ruled_out.iter().map(|item| (*item).into()).collect::<Vec<Json>>())
        .with("confidence", *confidence)
        .with("caused_by", maybe(*caused_by))
}

fn evidence_of(item: &Item) -> Object {
    let Item { name, value, unit, baseline, window_s, n } = item;
    Object::new()
        .with("name", *name)
        .with("value", *value)
        .with("unit", *unit)
        .with("baseline", baseline.map_or(Json::Null, Json::from))
        .with("window_s", *window_s)
        .with("n", *n)
}
