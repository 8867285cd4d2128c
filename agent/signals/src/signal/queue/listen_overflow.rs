//! A listener's queue is full, and the kernel drops further SYNs.
//!
//! A connection waits in the accept queue of its listener until the server calls `accept`. When that queue is full the
//! kernel drops SYNs without a word: callers send them again after a second, then two, and see nothing but slow connects
//! and timeouts. SYNs that are answered and not yet confirmed wait in the request queue; when that is full they are
//! answered by cookies, or dropped.
//!
//! The kernel counts drops for a network namespace, not for a listener (`ListenOverflows`, `ListenDrops`): whose they are
//! is decided by the queues as they were polled, once a second; request queues are polled only while SYNs are dropped.
//! The caller that most of them wait for is named: one whose last ACK is lost on its way, or one that sends no more than SYNs
//! (a flood has many that do not exist). It raises when some were dropped in two of three windows, or
//! ten in one. One that is full and drops nothing has no callers.
//!
//! Where it is blind: which one of several listeners, where the queue was full only between two polls.

use std::{borrow::Cow, collections::BTreeSet};

use self::reading::{Class, Reading};
use crate::{facts::owners::Owners, signal::prelude::*};
use weir_engine::{AcceptQueueView, Kind, ListenerView, NamespaceView, Owner, Service, Snapshot};

mod reading;
mod report;

/// The signal.
#[derive(Debug, Default)]
pub(crate) struct ListenOverflow;

impl Detector for ListenOverflow {
    const CLASSES: &'static [&'static str] = Class::NAMES;
    /// Listeners that drop at one time.
    const LIMIT: usize = 1024;
    const ONLY_SUSPECTS: bool = true;

    /// The namespace that it is in.
    type Memory = u32;
    type Input<'f> = Reading<'f>;
    type Reading<'f> = Reading<'f>;

    fn gather<'f>(&mut self, facts: &'f Facts<'f>, known: &Subjects<u32>) -> Inputs<'f, Reading<'f>> {
        let (snapshot, mut seen) = (facts.snapshot, BTreeSet::new());
        let mut inputs = Vec::new();
        for namespace in &snapshot.host.namespaces {
            let Some(class) = Class::of(namespace) else { continue };
            let culprit = class.culprit(namespace);
            let subject = match culprit {
                Some(culprit) => subject(culprit, accepts(culprit, namespace, snapshot), &facts.owners),
                None => only_one_in(namespace.netns, known).cloned().unwrap_or_else(Subject::host),
            };
            // The host stands for all namespaces whose listener is not known: the first is as good as another.
            if seen.insert(subject.clone()) {
                inputs.push((Cow::Owned(subject), Reading::new(namespace, culprit, class, facts)));
            }
        }
        // Those that dropped before and do not any more, where their namespace was polled.
        for (subject, netns) in known.iter().filter(|(subject, _)| !seen.contains(subject)) {
            let namespace = snapshot.host.namespaces.iter().find(|namespace| namespace.netns == *netns);
            inputs.extend(namespace.map(|namespace| (Cow::Owned(subject.clone()), Reading::well(namespace))));
        }
        inputs
    }

    fn read<'f>(&self, reading: Reading<'f>, _: &mut u32, _: &'f Facts<'f>) -> Option<Reading<'f>> {
        Some(reading)
    }

    fn verdict(&self, reading: &Reading<'_>, _: Rules) -> Finding {
        reading.finding()
    }

    fn report(&self, subject: &Subject, reading: &Reading<'_>, window_ns: u64) -> Result<Report, Defect> {
        report::report(subject, reading, window_ns)
    }

    fn learn(&self, netns: &mut u32, reading: &Reading<'_>, _: Learn) {
        *netns = reading.netns;
    }
}

/// The only listener of a namespace that has dropped lately: what is dropped while no queue is seen full is its, as when it
/// accepts again and drops its last between two polls.
fn only_one_in(netns: u32, known: &Subjects<u32>) -> Option<&Subject> {
    let mut listeners = known.iter().filter(|(subject, of)| **of == netns && **subject != Subject::host());
    let (first, _) = listeners.next()?;
    listeners.next().is_none().then_some(first)
}

/// Who accepts there, as the kernel half knows: the poll looks for a listener's owner only at times.
fn accepts(culprit: &ListenerView, namespace: &NamespaceView, snapshot: &Snapshot) -> Option<Owner> {
    let port = u32::from(culprit.last.address.port());
    let queue = snapshot.accept_queues.iter().find(|queue| (queue.at.netns, queue.at.port) == (namespace.netns, port));
    queue.map(AcceptQueueView::owner)
}

fn subject(culprit: &ListenerView, accepts: Option<Owner>, owners: &Owners<'_>) -> Subject {
    let address = culprit.last.address;
    let owner = culprit.last.owner.clone().or(accepts);
    let service = owner.as_ref().map(|owner| owners.service(owner));
    // No owner is found where weir may not look at others' descriptors.
    let unknown = || Service { kind: Kind::Address, namespace: None, name: address.ip().to_string().into() };
    Subject::server(service.unwrap_or_else(unknown), Some(address.port()))
}

#[cfg(test)]
mod tests;
