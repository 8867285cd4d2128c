//! Incidents as they stand: state that a reader can compare with what it has seen, so that an update it missed costs it
//! nothing but time.

use std::sync::Arc;

use weir_engine::{Machine, Snapshot, Started};

use crate::{
    decider::Decider,
    incident::decisions::{Decisions, Event, Happened, Lost},
    subject::Subject,
};

/// Incidents kept, some 2 KiB each; of more those that are over go, the oldest first. A choice: more than a day of five pages in
/// ten minutes, and more than can go on at once (`MAX_INCIDENTS`).
const MAX_KEPT: usize = 1000;

/// An incident as of the last thing that happened to it.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Rises with each event of any incident: a reader that remembers the highest it has seen knows which are news.
    pub sequence: u64,
    /// What happened, and the alert as of then.
    pub event: Event,
}

/// An alarm that does not fire yet.
#[derive(Clone, Debug, PartialEq)]
pub struct PendingAlarm {
    /// Of this signal.
    pub signal: &'static str,
    /// About this.
    pub subject: Subject,
    /// What holds it back, in words.
    pub held: Option<String>,
}

/// All that the decisions have come to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Standing {
    /// Every incident since the start, in the order in which they began.
    pub incidents: Vec<Arc<Entry>>,
    /// How many of them go on.
    pub firing: usize,
    /// What may be an incident soon.
    pub pending: Vec<PendingAlarm>,
    /// Windows that were judged.
    pub windows: u64,
    /// How long they are together, nanoseconds.
    pub watched_ns: u64,
    /// The most edges that were in one of them.
    pub edges: usize,
    /// What was lost.
    pub lost: Lost,
    /// Subjects that the signals had no space for.
    pub subjects_over_limit: u64,
    /// Incidents that are not in `incidents`.
    pub not_kept: u64,
    /// weir's version.
    pub version: String,
    /// Which machine they are of.
    pub machine: Arc<Machine>,
}

/// Keeps what stands.
#[derive(Debug, Default)]
pub(crate) struct Journal {
    sequence: u64,
    standing: Standing,
}

impl Journal {
    /// The stream begins: what stands before the first window.
    pub(crate) fn begin(&mut self, started: &Started) -> Standing {
        self.standing.version.clone_from(&started.version);
        self.standing.machine = Arc::clone(&started.machine);
        self.standing.clone()
    }

    /// Adds a window's decisions.
    pub(crate) fn add(&mut self, snapshot: &Snapshot, decisions: Decisions, decider: &Decider) -> Standing {
        let Standing { windows, watched_ns, edges, .. } = &mut self.standing;
        *windows += 1;
        *watched_ns = watched_ns.saturating_add(snapshot.window_ns);
        *edges = snapshot.edges_total.max(*edges);
        decisions.events.into_iter().for_each(|event| self.event(event));
        let incidents = decider.incidents();
        let pending = incidents.pending().map(|pending| PendingAlarm {
            signal: pending.signal,
            subject: pending.subject.clone(),
            held: pending.held.map(str::to_owned),
        });
        self.standing.pending = pending.collect();
        self.standing.firing = incidents.firing().count();
        self.standing.lost = incidents.lost();
        self.standing.subjects_over_limit = decider.subjects_over_limit();
        self.standing.clone()
    }

    fn event(&mut self, event: Event) {
        self.sequence += 1;
        let incidents = &mut self.standing.incidents;
        let known = incidents.iter().position(|entry| entry.event.alert.id() == event.alert.id());
        let entry = Arc::new(Entry { sequence: self.sequence, event });
        if let Some(place) = known {
            incidents[place] = entry;
            return;
        }
        if incidents.len() >= MAX_KEPT {
            let over = incidents.iter().enumerate().filter(|(_, entry)| entry.is_over());
            let oldest = over.min_by_key(|(_, entry)| entry.sequence).map(|(place, _)| place);
            incidents.remove(oldest.unwrap_or(0));
            self.standing.not_kept += 1;
        }
        incidents.push(entry);
    }
}

impl Entry {
    fn is_over(&self) -> bool {
        matches!(self.event.happened, Happened::Resolved(_))
    }
}

impl Standing {
    /// What has happened since a reader last looked: entries with a higher sequence, in its order.
    pub fn since(&self, sequence: u64) -> Vec<&Entry> {
        let mut news: Vec<&Entry> =
            self.incidents.iter().map(|entry| &**entry).filter(|entry| entry.sequence > sequence).collect();
        news.sort_by_key(|entry| entry.sequence);
        news
    }

    /// All losses by name.
    pub fn losses(&self) -> [(&'static str, u64); 7] {
        let Lost { alarms_over_limit, incidents_over_limit, rejected, rolled_up, changes_over_limit } = self.lost;
        [
            ("alarms_over_limit", alarms_over_limit),
            ("incidents_over_limit", incidents_over_limit),
            ("incidents_not_kept", self.not_kept),
            ("notifications_rolled_up", rolled_up),
            ("changes_over_limit", changes_over_limit),
            ("units_over_limit", self.subjects_over_limit),
            ("reports_rejected", rejected.iter().sum()),
        ]
    }
}
