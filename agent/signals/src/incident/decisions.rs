//! The results of a window: events, notifications, alarms that do not fire yet, and counts of what was lost.

use crate::{
    incident::{alarm::Ended, notify::Notification, severity::Level},
    report::{alert::Alert, defect::Defect},
    subject::Subject,
};

/// What happened to an incident.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Happened {
    /// It began.
    Raised,
    /// It is back within a minute after its end, with the same id.
    Continued,
    /// Its level rose or fell.
    Level {
        /// The level before.
        from: Level,
    },
    /// It ended.
    Resolved(Ended),
}

/// A change of an incident.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// What happened.
    pub happened: Happened,
    /// The incident after it.
    pub alert: Alert,
}

/// The results of a window.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Decisions {
    /// Every change of an incident.
    pub events: Vec<Event>,
    /// Incidents to notify of, within the limits.
    pub notifications: Vec<Notification>,
}

/// An alarm that has raised and does not fire yet.
#[derive(Clone, Debug, PartialEq)]
pub struct Pending<'a> {
    /// The signal's name.
    pub signal: &'static str,
    /// What it is about.
    pub subject: &'a Subject,
    /// The first raise, monotonic nanoseconds.
    pub since_ns: u64,
    /// The change that holds it back, in words; `None` if it has not raised often enough.
    pub held: Option<&'a str>,
}

/// Counts of what was lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lost {
    /// Raises beyond `MAX_ALARMS`.
    pub alarms_over_limit: u64,
    /// Alarms that fired beyond `MAX_INCIDENTS`.
    pub incidents_over_limit: u64,
    /// Reports that were incomplete, by `Defect`.
    pub rejected: [u64; Defect::ALL.len()],
    /// Notifications that the host's limit delayed.
    pub rolled_up: u64,
    /// Changes dropped because too many services changed.
    pub changes_over_limit: u64,
}
