//! Alarms of all signals, and the incidents they open: at most one for each signal and subject.
//!
//! Every window takes three steps: `begin`, `judge` once for each finding, `finish`. Only a subject that raises takes
//! memory: one that is healthy has no entry.

use std::collections::BTreeMap;

use crate::{
    incident::{
        alarm::{Rule, State, Transition, Verdict},
        changes::{Change, Changes},
        decisions::{Decisions, Event, Happened, Lost, Pending},
        incidents::{causes::Graph, entry::Entry},
        notify::Limiter,
    },
    report::alert::Alert,
    rules::Rules,
    subject::Subject,
    window::Moment,
};

mod causes;
mod entry;
mod judge;
mod notifying;

/// Alarms that are not idle at once, some 300 bytes each: 2.4 MiB. A choice: more than the edges of a busy host (5,000 in
/// the benchmark), each with an alarm.
pub const MAX_ALARMS: usize = 8192;
/// Incidents open at once, some 2 KiB each: 1 MiB. A choice: more than anybody reads; those beyond it are counted.
pub const MAX_INCIDENTS: usize = 512;

/// By signal name, then by subject: the order in which incidents are listed.
type Entries = BTreeMap<&'static str, BTreeMap<Subject, Entry>>;

/// The alarms and incidents.
#[derive(Debug, Default)]
pub struct Incidents {
    entries: Entries,
    /// Number of entries, and of those with an incident.
    alarms: usize,
    open: usize,
    /// Windows begun so far.
    window: u64,
    at: Moment,
    changes: Changes,
    limiter: Limiter,
    lost: Lost,
    rules: Rules,
    graph: Graph,
    /// Changes of incidents in this window, made into events when it is finished.
    happened: Vec<(Happened, &'static str, Subject)>,
}

impl Incidents {
    /// Decides by the given rules, which may be fewer than weir's own.
    pub fn following(rules: Rules) -> Self {
        Self { rules, ..Self::default() }
    }

    /// Records a change of a service, which may explain the next minute's findings.
    pub fn changed(&mut self, change: Change) {
        self.changes.add(change);
    }

    /// Begins a window.
    pub fn begin(&mut self, at: Moment) {
        self.window += 1;
        self.at = at;
        self.changes.forget(at.monotonic_ns);
    }

    /// Ends the window: subjects without a finding are judged as without data, causes are linked, and what has changed
    /// becomes events and notifications.
    pub fn finish(&mut self) -> Decisions {
        self.judge_unseen();
        // The severity of an incident depends on its causes: first the links, then the status, then the events.
        self.graph.link(&mut self.entries);
        let at = self.at;
        each_mut(&mut self.entries).for_each(|(_, _, entry)| entry.set_status(at));
        let events = self.events();
        self.drop_idle();
        Decisions { events, notifications: self.notify() }
    }

    fn judge_unseen(&mut self) {
        let now_ns = self.at.monotonic_ns;
        for (signal, subject, entry) in each_mut(&mut self.entries).filter(|(.., entry)| entry.window != self.window) {
            // The rule does not matter: a window without data adds to no count.
            if let Transition::Resolved(ended) = entry.alarm.judge(Rule::USUAL, now_ns, Verdict::NoData, false) {
                self.happened.push((Happened::Resolved(ended), signal, subject.clone()));
            }
        }
    }

    /// One event for each incident that began, came back or ended, in the order judged; then one for each whose level has
    /// changed otherwise.
    fn events(&mut self) -> Vec<Event> {
        let Self { entries, happened, .. } = self;
        let announced = happened
            .drain(..)
            .filter_map(|(happened, signal, subject)| entries.get_mut(signal)?.get_mut(&subject)?.event(happened));
        let mut events: Vec<Event> = announced.collect();
        events.extend(each_mut(entries).filter_map(|(_, _, entry)| entry.level_event()));
        events
    }

    fn drop_idle(&mut self) {
        let Self { entries, alarms, open, at, .. } = self;
        for subjects in entries.values_mut() {
            subjects.retain(|_, entry| {
                let is_idle = entry.alarm.is_idle(at.monotonic_ns);
                *alarms -= usize::from(is_idle);
                *open -= usize::from(is_idle && entry.incident.is_some());
                !is_idle
            });
        }
    }

    /// Alerts of all firing incidents, by signal and subject.
    pub fn firing(&self) -> impl Iterator<Item = &Alert> {
        let entries = self.entries.values().flat_map(BTreeMap::values);
        entries.filter(|entry| entry.alarm.level().is_some()).filter_map(Entry::current_alert)
    }

    /// Alarms that do not fire yet, and what holds them back.
    pub fn pending(&self) -> impl Iterator<Item = Pending<'_>> {
        let entries = self.entries.iter();
        let entries = entries.flat_map(|(signal, of)| of.iter().map(move |(subject, entry)| (*signal, subject, entry)));
        entries.filter(|(_, _, entry)| entry.alarm.state() == State::Pending).map(|(signal, subject, entry)| Pending {
            signal,
            subject,
            since_ns: entry.alarm.pending_since_ns(),
            held: entry.held.as_deref(),
        })
    }

    /// What was lost so far.
    pub fn lost(&self) -> Lost {
        Lost { rolled_up: self.limiter.rolled_up_in_all(), changes_over_limit: self.changes.forgotten(), ..self.lost }
    }
}

/// Every entry with its signal and subject, in their order.
fn each_mut(entries: &mut Entries) -> impl Iterator<Item = (&'static str, &Subject, &mut Entry)> {
    entries.iter_mut().flat_map(|(signal, of)| of.iter_mut().map(move |(subject, entry)| (*signal, subject, entry)))
}

#[cfg(test)]
mod tests;
