//! What windows come to: what happened to incidents, who is told, what waits and what was lost.

use crate::{
    incident::{alarm::Ended, notify::Notification, severity::Level},
    report::{alert::Alert, contract::Defect},
    subject::Subject,
};

/// What has become of an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// It began.
    Raised,
    /// It is back, less than a minute after its end: still the same.
    Continued,
    /// It is worse or better than before.
    Level {
        /// How bad it was.
        from: Level,
    },
    /// It is over.
    Resolved(Ended),
}

/// An incident changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// How.
    pub happened: Happened,
    /// What is said of it.
    pub alert: Alert,
}

/// What a window came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decisions {
    /// For who looks.
    pub events: Vec<Event>,
    /// For who is to be told.
    pub notifications: Vec<Notification>,
}

/// An alarm that does not fire yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Pending<'a> {
    /// Of this signal.
    pub signal: &'static str,
    /// About this.
    pub unit: &'a Subject,
    /// Since when, monotonic nanoseconds.
    pub since_ns: u64,
    /// What holds it back, in words.
    pub held: Option<&'a str>,
}

/// What was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Raises that found no room for an alarm.
    pub alarms_over_limit: u64,
    /// Alarms that fired and found no room for an incident.
    pub incidents_over_limit: u64,
    /// Reports that did not say all that they must, by `Defect`.
    pub rejected: [u64; Defect::ALL.len()],
    /// Incidents that nobody was notified of when they should have been.
    pub rolled_up: u64,
    /// Changes that found no room.
    pub changes_over_limit: u64,
}
