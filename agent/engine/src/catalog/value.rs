//! What reading a field gives.

use std::borrow::Cow;

use crate::{
    AcceptQueueView, CgroupView, Coverage, Degradation, Distribution, Edge, End, Failure, Losses, Naming, ProbeState,
    ProgramCost, ServerProcess, Snapshot, View,
    edge::{
        counts::{Counted, Counts},
        view::Reused,
    },
    polled::Throttle,
};

/// A field's value.
#[derive(Debug)]
pub enum Value<'a> {
    /// A whole number.
    Count(u64),
    /// Any other number.
    Number(f64),
    /// A text.
    Text(Cow<'a, str>),
    /// Yes or no.
    Flag(bool),
    /// A distribution, and the reason for null when it is empty.
    Distribution(&'a Distribution, &'static str),
    /// Counts by the value of a label.
    Counts(Vec<(&'a str, u64)>),
    /// An object.
    Part(Part<'a>),
    /// A list.
    List(Vec<Value<'a>>),
    /// A name that does not apply here.
    NotApplicable,
    /// Null, and why.
    Absent(&'a str),
    /// What a snapshot does not hold, or not in one piece: the writer of the document has it.
    OfTheWriter,
}

/// An object of a document, whose fields are in a table of their own.
#[derive(Clone, Copy, Debug)]
#[expect(missing_docs, reason = "each is named after the table of its fields")]
pub enum Part<'a> {
    Losses(&'a Losses),
    Coverage(&'a Coverage),
    Naming(&'a Naming),
    Unavailable(&'a (std::sync::Arc<str>, std::sync::Arc<str>)),
    Degraded(&'a Degradation),
    Cost(&'a Snapshot),
    Program(&'a ProgramCost),
    Probe(&'a ProbeState),
    AcceptQueue(&'a AcceptQueueView),
    End(&'a End),
    /// `END` of the edge's server, then `SERVER`.
    Server(&'a Edge),
    ServerProcess(&'a ServerProcess),
    Failure(&'a Failure),
    /// The views of both ends.
    Views(&'a Edge),
    View(&'a View),
    Reused(Reused),
    /// `LITTLES_LAW`, as far as the view's state has them.
    LittlesLaw(&'a View),
    Throttle(&'a Throttle),
    /// `PRESSURE`, of its cgroup.
    Pressure(&'a CgroupView),
}

impl From<u64> for Value<'_> {
    fn from(value: u64) -> Self {
        Self::Count(value)
    }
}

impl From<u32> for Value<'_> {
    fn from(value: u32) -> Self {
        Self::Count(value.into())
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Self::Number(value)
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Flag(value)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value.into())
    }
}

impl From<String> for Value<'_> {
    fn from(value: String) -> Self {
        Self::Text(value.into())
    }
}

impl<'a> From<Part<'a>> for Value<'a> {
    fn from(value: Part<'a>) -> Self {
        Self::Part(value)
    }
}

impl<K: Counted> From<Counts<K>> for Value<'_> {
    fn from(counts: Counts<K>) -> Self {
        Self::Counts(counts.iter().map(|(variant, n)| (variant.name(), n)).collect())
    }
}

/// Absent with its reason.
impl<'a, V: Into<Self>> From<Result<V, &'a str>> for Value<'a> {
    fn from(value: Result<V, &'a str>) -> Self {
        value.map_or_else(Self::Absent, Into::into)
    }
}

/// A name that may not apply.
impl<'a> From<Option<&'a str>> for Value<'a> {
    fn from(value: Option<&'a str>) -> Self {
        value.map_or(Self::NotApplicable, Self::from)
    }
}

impl<'a, V: Into<Self>> FromIterator<V> for Value<'a> {
    fn from_iter<I: IntoIterator<Item = V>>(values: I) -> Self {
        Self::List(values.into_iter().map(Into::into).collect())
    }
}

/// Nanoseconds in seconds.
pub fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// To the nanosecond: more digits would be noise.
pub fn rounded(seconds: f64) -> f64 {
    (seconds * 1e9).round() / 1e9
}
