//! One row for each field of the documents: its name, meaning, unit and kind, the probes that it needs, whether a CPU budget makes
//! an estimate of it, and how to read it.
//!
//! The JSON documents, the reasons beside a null, the marks in the table, CSV, the tables in docs/edges.md and the test of the
//! document's shape come from these rows. An exporter to another format reads the same rows: it needs no list of its own.

mod edge;
mod end;
mod host;
mod machine;
mod snapshot;
#[cfg(test)]
mod tests;
mod value;
mod view;

use weir_abi::{ConnectOutcome, ProbeName, SocketError};

pub use edge::{EDGE, FAILURE};
pub use end::{END, SERVER, SERVER_PROCESS};
pub use host::{ACCEPT_QUEUE, CGROUP, LISTENER, PRESSURE, PROCESS, THROTTLE};
pub use machine::MACHINE;
pub use snapshot::{COST, COVERAGE, DEGRADED, GROUP, LOSSES, NAMING, PROBE, PROGRAM, SNAPSHOT, UNAVAILABLE};
pub use value::{Part, Value, rounded, seconds};
pub use view::{LITTLES_LAW, REUSED, VIEW};

/// A field of `T`.
pub struct Field<T: 'static> {
    /// What it is.
    pub about: About,
    /// Reads it.
    pub read: Read<T>,
}

/// How a field is read.
pub type Read<T> = for<'a> fn(&'a T) -> Value<'a>;

/// What a field is, whatever it is a field of.
#[derive(Clone, Copy, Debug)]
pub struct About {
    /// The name in JSON. It is a contract: never changed.
    pub name: &'static str,
    /// The meaning, in one sentence without its full stop.
    pub help: &'static str,
    /// What kind of value it is.
    pub kind: Kind,
    /// What it is measured in.
    pub unit: Unit,
    /// Of counters by the value of a label: that label.
    pub by: Option<Label>,
    /// Without one of these probes it is unknown: null, and the reason names the probe.
    pub needs: &'static [ProbeName],
    /// While a CPU budget has weir follow a sample of sockets, it is an estimate.
    pub sampled: bool,
    /// Whether it may be null although all probes run; then the reason is beside it.
    pub nullable: bool,
    /// Where it comes from: a probe, or what the kernel keeps; empty where `needs` is enough.
    pub source: &'static str,
    /// Of a loss: what helps against it; empty where nothing does.
    pub remedy: &'static str,
    /// The fields of an object, or of a list's objects.
    pub parts: Option<fn() -> Vec<About>>,
}

/// What kind of value a field has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A count of what happened in the window.
    Counter,
    /// Counters by the value of a label.
    Counters,
    /// A number as of the window's end, or a mean over the window.
    Gauge,
    /// A distribution of times.
    Histogram,
    /// A text.
    Label,
    /// A number that names something, such as a pid.
    Id,
    /// A name that not everything has: null without a reason of its own.
    Name,
    /// Yes or no.
    Flag,
    /// Fields of its own.
    Object,
    /// Values, or objects.
    List,
}

/// The label that separates counters.
#[derive(Clone, Copy, Debug)]
pub struct Label {
    /// Its name in metrics.
    pub name: &'static str,
    /// Its values; empty where they are not known in advance.
    pub values: fn() -> Vec<&'static str>,
}

/// `connects`.
const OUTCOME: Label =
    Label { name: "outcome", values: || ConnectOutcome::ALL.iter().map(|outcome| outcome.name()).collect() };
/// `errors`.
const ERROR: Label = Label { name: "error", values: || SocketError::ALL.iter().map(|error| error.name()).collect() };

/// What a number is measured in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A count, or no number.
    None,
    /// Seconds.
    Seconds,
    /// Nanoseconds: only where a kernel's counter is passed on.
    Nanoseconds,
    /// Bytes.
    Bytes,
    /// A part of a whole, 1 being all of it.
    Share,
}

impl Unit {
    /// The name, as metrics spell it; empty for a count.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Seconds => "seconds",
            Self::Nanoseconds => "nanoseconds",
            Self::Bytes => "bytes",
            Self::Share => "ratio",
        }
    }

    /// What names of fields in this unit end in.
    const fn suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Seconds => "_s",
            Self::Nanoseconds => "_ns",
            Self::Bytes => "_bytes",
            Self::Share => "_share",
        }
    }
}

impl About {
    /// The name in the style of Prometheus, of a field of `subject` (`edge`): the unit spelled out at the end, counters in `_total`.
    pub fn metric(&self, subject: &str) -> String {
        let base = self.name.strip_suffix(self.unit.suffix()).unwrap_or(self.name);
        // `agent_cpu_s` of `agent`.
        let base = base.strip_prefix(subject).and_then(|base| base.strip_prefix('_')).unwrap_or(base);
        let unit = match self.unit {
            Unit::None => String::new(),
            // `bytes_sent` has its unit already, if at the other end.
            Unit::Bytes if base.starts_with("bytes_") => String::new(),
            unit => format!("_{}", unit.name()),
        };
        let total = if matches!(self.kind, Kind::Counter | Kind::Counters) { "_total" } else { "" };
        format!("weir_{subject}_{base}{unit}{total}")
    }
}

impl<T> Field<T> {
    const fn new(kind: Kind, name: &'static str, help: &'static str, read: Read<T>) -> Self {
        let about = About {
            name,
            help,
            kind,
            unit: Unit::None,
            by: None,
            needs: &[],
            sampled: false,
            nullable: false,
            source: "",
            remedy: "",
            parts: None,
        };
        Self { about, read }
    }

    const fn unit(mut self, unit: Unit) -> Self {
        self.about.unit = unit;
        self
    }

    const fn needs(mut self, probes: &'static [ProbeName]) -> Self {
        self.about.needs = probes;
        self
    }

    const fn sampled(mut self) -> Self {
        self.about.sampled = true;
        self
    }

    const fn nullable(mut self) -> Self {
        self.about.nullable = true;
        self
    }

    const fn source(mut self, source: &'static str) -> Self {
        self.about.source = source;
        self
    }

    const fn remedy(mut self, remedy: &'static str) -> Self {
        self.about.remedy = remedy;
        self
    }

    const fn parts(mut self, parts: fn() -> Vec<About>) -> Self {
        self.about.parts = Some(parts);
        self
    }
}

const fn counter<T>(name: &'static str, help: &'static str, read: Read<T>) -> Field<T> {
    Field::new(Kind::Counter, name, help, read)
}

const fn counters<T>(name: &'static str, by: Label, help: &'static str, read: Read<T>) -> Field<T> {
    let mut field = Field::new(Kind::Counters, name, help, read);
    field.about.by = Some(by);
    field
}

const fn gauge<T>(name: &'static str, help: &'static str, read: Read<T>) -> Field<T> {
    Field::new(Kind::Gauge, name, help, read)
}

/// In seconds, and null when nothing was observed.
const fn histogram<T>(name: &'static str, help: &'static str, read: Read<T>) -> Field<T> {
    Field::new(Kind::Histogram, name, help, read).unit(Unit::Seconds).nullable().parts(|| DISTRIBUTION.to_vec())
}

const fn label<T>(name: &'static str, help: &'static str, read: Read<T>) -> Field<T> {
    Field::new(Kind::Label, name, help, read)
}

const fn id<T>(name: &'static str, help: &'static str, read: Read<T>) -> Field<T> {
    Field::new(Kind::Id, name, help, read)
}

const fn name<T>(name: &'static str, help: &'static str, read: Read<T>) -> Field<T> {
    Field::new(Kind::Name, name, help, read)
}

const fn flag<T>(name: &'static str, help: &'static str, read: Read<T>) -> Field<T> {
    Field::new(Kind::Flag, name, help, read)
}

const fn object<T>(name: &'static str, help: &'static str, read: Read<T>) -> Field<T> {
    Field::new(Kind::Object, name, help, read)
}

const fn list<T>(name: &'static str, help: &'static str, read: Read<T>) -> Field<T> {
    Field::new(Kind::List, name, help, read)
}

/// What the fields of a table are.
pub fn abouts<T>(fields: &[Field<T>]) -> Vec<About> {
    fields.iter().map(|field| field.about).collect()
}

/// What a document has of a distribution. A metric has the buckets: `Distribution::buckets`.
pub const DISTRIBUTION: &[About] = &[
    counter::<()>("count", "how many were timed", |()| Value::OfTheWriter).about,
    gauge::<()>("mean", "their mean, exact", |()| Value::OfTheWriter).unit(Unit::Seconds).about,
    gauge::<()>("p50", "the median, an estimate from the buckets: typically within 2%, at worst 19%", |()| {
        Value::OfTheWriter
    })
    .unit(Unit::Seconds)
    .about,
    gauge::<()>("p95", "95th percentile, likewise", |()| Value::OfTheWriter).unit(Unit::Seconds).about,
    gauge::<()>("p99", "99th percentile, likewise", |()| Value::OfTheWriter).unit(Unit::Seconds).about,
];

/// All fields of a document by their paths, those of objects (`losses.ring_full`) and of a list's objects (`edges[].connects`)
/// included.
pub fn paths(abouts: &[About]) -> Vec<(String, About)> {
    let mut paths = Vec::new();
    for about in abouts {
        paths.push((about.name.to_owned(), *about));
        let inside = if about.kind == Kind::List { "[]." } else { "." };
        let parts = about.parts.map_or_else(Vec::new, |parts| parts());
        paths.extend(
            self::paths(&parts).into_iter().map(|(path, part)| (format!("{}{inside}{path}", about.name), part)),
        );
        let values = about.by.map_or_else(Vec::new, |label| (label.values)());
        paths.extend(values.into_iter().map(|value| {
            (format!("{}.{value}", about.name), About { name: value, kind: Kind::Counter, by: None, ..*about })
        }));
    }
    paths
}

/// The row of that name; in a constant, a name that no row has does not compile.
///
/// # Panics
/// When there is none.
pub const fn named<T>(fields: &'static [Field<T>], name: &str) -> &'static Field<T> {
    let mut i = 0;
    while i < fields.len() {
        if same(fields[i].about.name.as_bytes(), name.as_bytes()) {
            return &fields[i];
        }
        i += 1;
    }
    panic!("no field has this name")
}

const fn same(a: &[u8], b: &[u8]) -> bool {
    if a.len() != b.len() {
        return false;
    }
    let mut i = 0;
    while i < a.len() {
        if a[i] != b[i] {
            return false;
        }
        i += 1;
    }
    true
}

/// Fields of an edge that are estimates while a sample of sockets is followed. All of a connection's life (connects, opens,
/// closes, retransmissions, resets, errors) stays exact.
pub fn estimated() -> impl Iterator<Item = &'static str> {
    EDGE.iter().filter(|field| field.about.sampled).map(|field| field.about.name)
}

/// Fields that come from rounds.
const ROUNDS: &[ProbeName] = &[ProbeName::SockSendLength, ProbeName::SockRecvLength];
const SENT: &[ProbeName] = &[ProbeName::SockSendLength];
const RECEIVED: &[ProbeName] = &[ProbeName::SockRecvLength];
const QUEUE_WAIT: &[ProbeName] = &[ProbeName::SkDataReady, ProbeName::SockRecvLength];
const RESETS_SENT: &[ProbeName] = &[ProbeName::TcpSendReset];
const RESETS_RECEIVED: &[ProbeName] = &[ProbeName::TcpReceiveReset];
const RESETS: &[ProbeName] = &[ProbeName::TcpSendReset, ProbeName::TcpReceiveReset];
const ERRORS: &[ProbeName] = &[ProbeName::InetSkErrorReport];
