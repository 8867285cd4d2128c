//! Incidents as they begin, change and end: for a terminal, and as JSON.

use std::{
    io::{self, Write},
    time::Duration,
};

use anyhow::Result;
use weir_engine::Snapshot;
use weir_signals::{
    Alert, Decider, Document, Ended, Event, Happened, Item, Learning, Level, Lost, Pending, Rules, SIGNALS, WINDOW_NS,
};

use super::json::{Json, Object};

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

/// Judges windows, and writes what comes of them.
pub struct Watch {
    form: Form,
    decider: Decider,
    /// Every incident as it last stood.
    seen: Vec<Alert>,
    /// Incidents that `seen` has no room for.
    unseen: u64,
    windows: u64,
    watched_ns: u64,
    edges: usize,
}

/// Incidents kept for the end.
const MAX_SEEN: usize = 1000;

impl Watch {
    /// `learn`: how long until it is known what is normal.
    pub fn new(form: Form, learn: Duration) -> Self {
        Self::following(Rules::ALL, form, learn)
    }

    /// The same by other rules than weir's.
    pub fn following(rules: Rules, form: Form, learn: Duration) -> Self {
        let learning = Learning::of(u64::try_from(learn.as_nanos()).unwrap_or(u64::MAX));
        let decider = Decider::following(rules, learning);
        Self { form, decider, seen: Vec::new(), unseen: 0, windows: 0, watched_ns: 0, edges: 0 }
    }

    /// Takes a window. What is left of one at the end is no window.
    pub fn window_to(&mut self, out: &mut impl Write, snapshot: &Snapshot) -> Result<()> {
        if snapshot.window_ns < WINDOW_NS / 2 {
            return Ok(());
        }
        self.windows += 1;
        self.watched_ns = self.watched_ns.saturating_add(snapshot.window_ns);
        self.edges = self.edges.max(snapshot.edges_total);
        let decisions = self.decider.window(snapshot.end_monotonic_ns, snapshot);
        for event in &decisions.events {
            match self.form {
                Form::Text => write_event(out, event)?,
                Form::Jsonl => {
                    let document = object(&event.alert.document()).with("event", happened(event.happened));
                    serde_json::to_writer(&mut *out, &document)?;
                    out.write_all(b"\n")?;
                }
                Form::Json => {}
            }
        }
        out.flush()?;
        decisions.events.into_iter().for_each(|event| self.see(event));
        Ok(())
    }

    /// Every incident as it last stood.
    pub(crate) fn seen(&self) -> &[Alert] {
        &self.seen
    }

    /// What judges.
    pub(crate) fn decider(&self) -> &Decider {
        &self.decider
    }

    /// How many windows were judged, and how long they are together.
    pub(crate) fn judged(&self) -> (u64, u64) {
        (self.windows, self.watched_ns)
    }

    fn see(&mut self, event: Event) {
        let Event { happened, alert } = event;
        if let Some(known) = self.seen.iter_mut().find(|known| known.id() == alert.id()) {
            *known = alert;
        } else if self.seen.len() < MAX_SEEN {
            self.seen.push(alert);
        } else {
            self.unseen += u64::from(happened == Happened::Raised);
        }
    }

    /// The end: the document, where that is the form.
    ///
    /// # Errors
    /// What the writer returns.
    pub fn finish(&self, out: &mut impl Write) -> Result<()> {
        if self.form == Form::Json {
            serde_json::to_writer_pretty(&mut *out, &self.document())?;
            out.write_all(b"\n")?;
            out.flush()?;
        }
        Ok(())
    }

    /// What it came to, in a line.
    pub fn summary(&self) -> String {
        let seconds = self.watched_ns as f64 / 1e9;
        let firing = self.decider.incidents().firing().count();
        let all = self.seen.len() as u64 + self.unseen;
        let what = match (all, self.windows) {
            (_, 0) => "no window of 5 s was seen whole: nothing was judged".to_owned(),
            (0, _) => "nothing wrong".to_owned(),
            (1, _) => format!("1 incident, {}", if firing == 0 { "over" } else { "going on" }),
            (n, _) => format!("{n} incidents, {firing} of them going on"),
        };
        let lost = lost_of(self.decider.incidents().lost(), self.decider.subjects_over_limit(), self.unseen);
        let lost: Vec<String> = lost.iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} {n}")).collect();
        let lost = if lost.is_empty() { String::new() } else { format!("; lost: {}", lost.join(", ")) };
        let edges = if self.edges == 1 { "edge" } else { "edges" };
        format!("{seconds:.0} s, {} windows, {} {edges}: {what}{lost}", self.windows, self.edges)
    }

    fn document(&self) -> Object {
        let incidents = self.decider.incidents();
        let signals =
            SIGNALS.iter().map(|signal| Object::new().with("name", signal.name).with("says", signal.summary).into());
        let pending = incidents.pending().map(|pending| pending_of(&pending).into());
        let lost = lost_of(incidents.lost(), self.decider.subjects_over_limit(), self.unseen);
        let lost = lost.iter().fold(Object::new(), |object, (name, n)| object.with(name, *n));
        Object::new()
            .with("watched_s", self.watched_ns as f64 / 1e9)
            .with("windows", self.windows)
            .with("window_s", WINDOW_NS as f64 / 1e9)
            .with("edges", self.edges as u64)
            .with("signals", signals.collect::<Vec<Json>>())
            .with("incidents", self.seen.iter().map(|alert| object(&alert.document()).into()).collect::<Vec<Json>>())
            .with("pending", pending.collect::<Vec<Json>>())
            .with("lost", lost)
    }
}

/// What may be an incident soon.
pub(crate) fn pending_of(pending: &Pending<'_>) -> Object {
    let object = Object::new().with("signal", pending.signal).with("unit", pending.subject.to_string().as_str());
    object.with("held", pending.held.map_or(Json::Null, Json::from))
}

/// All losses by name.
fn lost_of(lost: Lost, units_over_limit: u64, unseen: u64) -> Vec<(&'static str, u64)> {
    let Lost { alarms_over_limit, incidents_over_limit, rejected, rolled_up, changes_over_limit } = lost;
    vec![
        ("alarms_over_limit", alarms_over_limit),
        ("incidents_over_limit", incidents_over_limit),
        ("incidents_not_kept", unseen),
        ("notifications_rolled_up", rolled_up),
        ("changes_over_limit", changes_over_limit),
        ("units_over_limit", units_over_limit),
        ("reports_rejected", rejected.iter().sum()),
    ]
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
