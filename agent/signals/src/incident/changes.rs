//! What happened around a unit: restarts and the like explain much that else looks like a fault.

use std::collections::BTreeMap;

use crate::subject::Subject;
use weir_engine::Service;

/// A change explains what comes this soon after it.
pub(crate) const AROUND_NS: u64 = 60_000_000_000;
/// Who changes for longer than this, never a minute without, does so as a habit (a server that forks for each connection):
/// that explains nothing.
const HABIT_NS: u64 = 2 * AROUND_NS;
/// Services remembered; of more that change in a minute, who did first is forgotten.
pub(crate) const MAX_CHANGES: usize = 1024;

/// What can happen to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// A process of it began.
    ProcessStarted,
    /// A process of it ended.
    ProcessExited,
    /// It began to listen on a port, or did so again.
    ListenerOpened,
    /// It stopped listening on a port.
    ListenerClosed,
    /// A cgroup was made for it: a container, a unit.
    CgroupMade,
    /// It has more or fewer instances.
    InstancesChanged,
}

impl ChangeKind {
    /// As the middle of "during … of redis".
    pub fn noun(self) -> &'static str {
        match self {
            Self::ProcessStarted => "start",
            Self::ProcessExited => "exit",
            Self::ListenerOpened => "opening of a listener",
            Self::ListenerClosed => "closing of a listener",
            Self::CgroupMade => "new container",
            Self::InstancesChanged => "change in the number of instances",
        }
    }
}

/// Something happened to a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Monotonic nanoseconds.
    pub at_ns: u64,
    /// What.
    pub kind: ChangeKind,
    /// To whom.
    pub service: Service,
}

impl Change {
    /// In words: "during start of redis, 12 s before".
    pub fn said(&self, now_ns: u64) -> String {
        let ago_s = now_ns.saturating_sub(self.at_ns) / 1_000_000_000;
        format!("during {} of {}, {ago_s} s before", self.kind.noun(), self.service)
    }
}

/// The last change of each service, of the last minute.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    latest: BTreeMap<Service, Latest>,
    forgotten: u64,
}

#[derive(Clone, Debug)]
struct Latest {
    change: Change,
    /// The first of those that came before it, less than a minute apart.
    since_ns: u64,
}

impl Changes {
    /// Takes a change.
    pub fn add(&mut self, change: Change) {
        if self.latest.len() >= MAX_CHANGES && !self.latest.contains_key(&change.service) {
            let oldest = self.latest.values().map(|known| &known.change).min_by_key(|change| change.at_ns);
            let oldest = oldest.map(|change| change.service.clone());
            oldest.and_then(|oldest| self.latest.remove(&oldest));
            self.forgotten += 1;
        }
        let known = self.latest.get(&change.service);
        if known.is_none_or(|known| known.change.at_ns <= change.at_ns) {
            let since_ns = known.map_or(change.at_ns, |known| known.since_ns);
            self.latest.insert(change.service.clone(), Latest { change, since_ns });
        }
    }

    /// Time goes on.
    pub fn forget(&mut self, now_ns: u64) {
        self.latest.retain(|_, known| now_ns.saturating_sub(known.change.at_ns) <= AROUND_NS);
    }

    /// Changes that found no room.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The last thing that happened to somebody in this unit, a minute ago at most. What is to come explains nothing.
    pub fn around(&self, unit: &Subject, now_ns: u64) -> Option<&Change> {
        let recent = |change: &&Change| now_ns.checked_sub(change.at_ns).is_some_and(|ago_ns| ago_ns <= AROUND_NS);
        let of_services = unit.services().into_iter().flatten().filter_map(|service| self.latest.get(service));
        let no_habit = |known: &&Latest| known.change.at_ns.saturating_sub(known.since_ns) <= HABIT_NS;
        of_services.filter(no_habit).map(|known| &known.change).filter(recent).max_by_key(|change| change.at_ns)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir_engine::Kind;

    const S: u64 = 1_000_000_000;

    fn service(name: &str) -> Service {
        Service { kind: Kind::Executable, namespace: None, name: name.into() }
    }

    fn started(name: &str, at_s: u64) -> Change {
        Change { at_ns: at_s * S, kind: ChangeKind::ProcessStarted, service: service(name) }
    }

    #[test]
    fn a_change_explains_its_own_service_for_a_minute() {
        let mut changes = Changes::default();
        changes.add(started("redis", 100));
        let edge = Subject::edge(service("app"), service("redis"), Some(6379));
        let around = |changes: &Changes, s| changes.around(&edge, s * S).map(|change| change.said(s * S));
        assert_eq!(around(&changes, 112).as_deref(), Some("during start of redis, 12 s before"));
        assert!(around(&changes, 160).is_some() && around(&changes, 161).is_none());
        assert_eq!(around(&changes, 99), None, "not yet");
        assert_eq!(changes.around(&Subject::server(service("pg"), None), 101 * S), None);
        changes.forget(161 * S);
        assert!(changes.latest.is_empty());
    }

    /// A server that forks for each connection, and then for none for a while.
    #[test]
    fn who_changes_all_the_time_is_not_explained_by_it() {
        let mut changes = Changes::default();
        let unit = Subject::server(service("postgres"), None);
        let explained: Vec<u64> = (100..400)
            .step_by(10)
            .filter(|at_s| {
                changes.add(started("postgres", *at_s));
                changes.forget(at_s * S);
                changes.around(&unit, at_s * S).is_some()
            })
            .collect();
        assert_eq!((explained.first(), explained.last()), (Some(&100), Some(&220)));
        changes.forget(500 * S);
        changes.add(started("postgres", 500));
        assert!(changes.around(&unit, 510 * S).is_some(), "a habit that was given up");
    }

    #[test]
    fn the_last_change_is_the_one_that_is_told() {
        let mut changes = Changes::default();
        changes.add(Change { kind: ChangeKind::ProcessExited, ..started("redis", 100) });
        changes.add(started("redis", 103));
        let unit = Subject::server(service("redis"), None);
        assert_eq!(changes.around(&unit, 104 * S).map(|c| c.kind), Some(ChangeKind::ProcessStarted));
    }

    #[test]
    fn memory_is_bounded_and_what_is_lost_is_counted() {
        let mut changes = Changes::default();
        (0..3000).for_each(|i| changes.add(started(&format!("job-{i}"), i)));
        changes.add(started("job-2999", 3001));
        assert_eq!((changes.latest.len(), changes.forgotten()), (MAX_CHANGES, 3000 - MAX_CHANGES as u64));
    }
}
