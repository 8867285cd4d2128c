//! Recent changes of services: a restart explains much that otherwise looks like a fault.

use std::collections::BTreeMap;

use crate::subject::Subject;
use weir_engine::Service;

/// A change explains what is found within this time after it. A choice: longer than most cold starts (connections, caches,
/// class loading), and short enough that a fault which a deployment brings is reported soon.
pub(crate) const AROUND_NS: u64 = 60_000_000_000;
/// A service that has changed for longer than this, with never `AROUND_NS` between two changes, explains nothing by its
/// changes: it is a server that forks for each connection (PostgreSQL). A choice: two spans, so that a rolling restart,
/// instance after instance, still counts as a change.
const HABIT_NS: u64 = 2 * AROUND_NS;
/// Services remembered. A choice: more than the processes with edges that are polled (512). When more change within
/// `AROUND_NS`, the one that changed first is dropped and counted.
pub(crate) const MAX_CHANGES: usize = 1024;

/// What can change of a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// One of its processes started.
    ProcessStarted,
    /// One of its processes exited.
    ProcessExited,
    /// It began to listen on a port, or listens again.
    ListenerOpened,
    /// It stopped listening on a port.
    ListenerClosed,
    /// A cgroup was created for it: a container or a systemd unit.
    CgroupMade,
    /// The number of its instances changed.
    InstancesChanged,
}

impl ChangeKind {
    /// A noun phrase, as in "during start of redis".
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

/// A change of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Monotonic nanoseconds.
    pub at_ns: u64,
    /// What changed.
    pub kind: ChangeKind,
    /// The service that changed.
    pub service: Service,
}

impl Change {
    /// For an alert: "during start of redis, 12 s before".
    pub fn description(&self, now_ns: u64) -> String {
        let ago_s = now_ns.saturating_sub(self.at_ns) / 1_000_000_000;
        format!("during {} of {}, {ago_s} s before", self.kind.noun(), self.service)
    }
}

/// The latest change of each service within the last `AROUND_NS`.
#[derive(Clone, Debug, Default)]
pub struct Changes {
    latest: BTreeMap<Service, Latest>,
    forgotten: u64,
}

#[derive(Clone, Debug)]
struct Latest {
    change: Change,
    /// When the present series of changes began, in which no two are more than `AROUND_NS` apart.
    since_ns: u64,
}

impl Changes {
    /// Records a change. One that is older than the latest of its service is ignored.
    pub fn add(&mut self, change: Change) {
        if self.latest.len() >= MAX_CHANGES && !self.latest.contains_key(&change.service) {
            self.drop_oldest();
        }
        let known = self.latest.get(&change.service);
        if known.is_none_or(|known| known.change.at_ns <= change.at_ns) {
            let since_ns = known.map_or(change.at_ns, |known| known.since_ns);
            self.latest.insert(change.service.clone(), Latest { change, since_ns });
        }
    }

    fn drop_oldest(&mut self) {
        let oldest = self.latest.values().map(|known| &known.change).min_by_key(|change| change.at_ns);
        let oldest = oldest.map(|change| change.service.clone());
        oldest.and_then(|oldest| self.latest.remove(&oldest));
        self.forgotten += 1;
    }

    /// Drops changes older than `AROUND_NS`.
    pub fn forget(&mut self, now_ns: u64) {
        self.latest.retain(|_, known| now_ns.saturating_sub(known.change.at_ns) <= AROUND_NS);
    }

    /// Changes dropped because more than `MAX_CHANGES` services had changed.
    pub fn forgotten(&self) -> u64 {
        self.forgotten
    }

    /// The latest change of a service of this subject within `AROUND_NS` before `now_ns`. Changes after `now_ns`, and those
    /// of services that change all the time, explain nothing.
    pub fn around(&self, subject: &Subject, now_ns: u64) -> Option<&Change> {
        let recent = |change: &&Change| now_ns.checked_sub(change.at_ns).is_some_and(|ago_ns| ago_ns <= AROUND_NS);
        let of_services = subject.services().into_iter().flatten().filter_map(|service| self.latest.get(service));
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
        let around = |changes: &Changes, s| changes.around(&edge, s * S).map(|change| change.description(s * S));
        assert_eq!(around(&changes, 112).as_deref(), Some("during start of redis, 12 s before"));
        assert!(around(&changes, 160).is_some() && around(&changes, 161).is_none());
        assert_eq!(around(&changes, 99), None, "not yet");
        assert_eq!(changes.around(&Subject::server(service("pg"), None), 101 * S), None);
        changes.forget(161 * S);
        assert!(changes.latest.is_empty());
    }

    /// A server that forks for each connection, then does not for 100 s.
    #[test]
    fn continual_changes_explain_nothing() {
        let mut changes = Changes::default();
        let subject = Subject::server(service("postgres"), None);
        let explained: Vec<u64> = (100..400)
            .step_by(10)
            .filter(|at_s| {
                changes.add(started("postgres", *at_s));
                changes.forget(at_s * S);
                changes.around(&subject, at_s * S).is_some()
            })
            .collect();
        assert_eq!((explained.first(), explained.last()), (Some(&100), Some(&220)));
        changes.forget(500 * S);
        changes.add(started("postgres", 500));
        assert!(changes.around(&subject, 510 * S).is_some(), "after a pause the series begins anew");
    }

    #[test]
    fn the_latest_change_is_reported() {
        let mut changes = Changes::default();
        changes.add(Change { kind: ChangeKind::ProcessExited, ..started("redis", 100) });
        changes.add(started("redis", 103));
        let subject = Subject::server(service("redis"), None);
        assert_eq!(changes.around(&subject, 104 * S).map(|c| c.kind), Some(ChangeKind::ProcessStarted));
    }

    #[test]
    fn memory_is_bounded_and_dropped_changes_are_counted() {
        let mut changes = Changes::default();
        (0..3000).for_each(|i| changes.add(started(&format!("job-{i}"), i)));
        changes.add(started("job-2999", 3001));
        assert_eq!((changes.latest.len(), changes.forgotten()), (MAX_CHANGES, 3000 - MAX_CHANGES as u64));
    }
}
