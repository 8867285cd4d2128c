//! Q2: a listener's queue is full, and the kernel drops who comes next.
//!
//! A connection waits in the accept queue of its listener until the server calls `accept`. When that queue is full the
//! kernel drops SYNs without a word: callers send them again after a second, then two, and see nothing but slow connects
//! and timeouts. SYNs that are answered and not yet confirmed wait in the request queue; when that is full they are
//! answered by cookies, or dropped.
//!
//! The kernel counts drops for a network namespace, not for a listener (`ListenOverflows`, `ListenDrops`): whose they are
//! is told by the queues as they were polled, once a second; request queues are looked at only while SYNs find no room.
//! The caller that most of them wait for is named: one whose last ACK is lost on its way, or one that sends no more than SYNs
//! (a flood has many that do not exist). It raises when some were dropped in two of three windows, or
//! ten in one. One that is full and drops nothing has no callers.
//!
//! Where it is blind: which one of several listeners, where the queue was full only between two polls.

use std::collections::BTreeSet;

use self::reading::{Class, Reading};
use crate::{
    evaluate::{Evaluator, Judge},
    facts::owners::Owners,
    incident::alarm::Rule,
    signal::queue::suspects::Suspects,
    subject::Subject,
    table::Signal,
    trust::Trust,
    window::Window,
};
use weir_engine::{AcceptQueueView, Kind, ListenerView, NamespaceView, Owner, Service, Snapshot};

mod reading;
mod say;

/// Its row.
pub(crate) const SIGNAL: Signal = Signal {
    name: "listen_overflow",
    says: "a listener's queue is full, and the kernel drops who comes next",
    rule: Rule::USUAL,
    // A restart that turns callers away is what they should hear of.
    minds_changes: false,
};

/// The evaluator.
#[derive(Debug, Default)]
pub(crate) struct ListenOverflow {
    /// The namespace that they are in.
    suspects: Suspects<u32>,
}

impl Evaluator for ListenOverflow {
    fn signal(&self) -> &'static Signal {
        &SIGNAL
    }

    fn over_limit(&self) -> u64 {
        self.suspects.over_limit()
    }

    fn evaluate(&mut self, window: &Window<'_>, judge: &mut Judge<'_>) {
        let snapshot = window.snapshot;
        let mut spoken_of = BTreeSet::new();
        for namespace in &snapshot.host.namespaces {
            let Some(class) = Class::of(namespace) else { continue };
            let culprit = class.culprit(namespace);
            let unit = match culprit {
                Some(culprit) => unit(culprit, accepts(culprit, namespace, snapshot), window.owners()),
                None => self.known_in(namespace.netns).cloned().unwrap_or_else(Subject::host),
            };
            if !spoken_of.insert(unit.clone()) {
                // The host stands for all namespaces whose listener is not known: the first is as good as another.
                continue;
            }
            let reading = Reading::new(namespace, culprit, class, snapshot);
            let state = judge
                .judge(&unit, reading.finding(), Trust::Unchecked, || say::report(&unit, &reading, snapshot.window_ns));
            if !state.is_normal() {
                self.suspects.suspect(unit, namespace.netns);
            }
        }
        self.clear(snapshot, &spoken_of, judge);
    }
}

impl ListenOverflow {
    /// The only listener of a namespace that has dropped lately: what is dropped while no queue is seen full is its, as when it
    /// accepts again and drops its last between two polls.
    fn known_in(&self, netns: u32) -> Option<&Subject> {
        let mut known = self.suspects.iter().filter(|(unit, of)| **of == netns && **unit != Subject::host());
        let first = known.next();
        first.map(|(unit, _)| unit).filter(|_| known.next().is_none())
    }

    /// Says of those that dropped before that they do not any more, where their namespace was looked at.
    fn clear(&mut self, snapshot: &Snapshot, spoken_of: &BTreeSet<Subject>, judge: &mut Judge<'_>) {
        self.suspects.forget(spoken_of, |unit, netns| {
            let Some(namespace) = snapshot.host.namespaces.iter().find(|known| known.netns == *netns) else {
                // Nothing can be said of it; the alarm ends by itself.
                return true;
            };
            let reading = Reading::well(namespace);
            let report = || say::report(unit, &reading, snapshot.window_ns);
            judge.judge(unit, reading.finding(), Trust::Unchecked, report).is_normal()
        });
    }
}

/// Who accepts there, as the kernel half knows: the poll looks for a listener's owner only at times.
fn accepts(culprit: &ListenerView, namespace: &NamespaceView, snapshot: &Snapshot) -> Option<Owner> {
    let port = u32::from(culprit.last.address.port());
    let queue = snapshot.accept_queues.iter().find(|queue| (queue.at.netns, queue.at.port) == (namespace.netns, port));
    queue.map(AcceptQueueView::owner)
}

fn unit(culprit: &ListenerView, accepts: Option<Owner>, owners: &Owners<'_>) -> Subject {
    let address = culprit.last.address;
    let owner = culprit.last.owner.clone().or(accepts);
    let service = owner.as_ref().map(|owner| owners.service(owner));
    // Nobody is found where weir may not look at others' descriptors.
    let unknown = || Service { kind: Kind::Address, namespace: None, name: address.ip().to_string().into() };
    Subject::server(service.unwrap_or_else(unknown), Some(address.port()))
}

#[cfg(test)]
mod tests;
