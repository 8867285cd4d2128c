//! Which incidents follow from others, so that a fault is one page and not one for each of its symptoms.
//!
//! A server without free descriptors accepts nothing: its accept queue fills, the kernel drops new SYNs, and requests hang.
//! That is one incident and three consequences. The graph of what leads to what is a table of links between signals (`LINKS`);
//! a link connects two incidents of the same service.
//!
//! - **Chains.** A cause may have a cause. `caused_by` names the root of the chain and not the nearest cause: the root is
//!   the one incident that is notified of and the one to act on, so a reader gets there in one step, and all incidents
//!   with the same `caused_by` are one fault. Internally each incident keeps its nearest cause (`Incident::nearest_cause`).
//! - **Severity.** A consequence is `info`. The root is a page if any incident below it would be one by itself, with the keys
//!   of that incident.
//! - **Time.** A link holds as long as its cause is remembered, which is for a minute after its end: a queue that has filled
//!   does not empty at once. When a root is forgotten, the incidents below it become roots.
//! - **Cycles.** A link that would close a cycle is not made. New links are made for the newest incident first, so of
//!   incidents that could each be the cause of the other, the one opened first is the root.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{Entries, entry::Entry};
use crate::{
    incident::severity::{Level, TwoKeys},
    row::{class, name},
    subject::Subject,
};
use weir_engine::Service;

/// A signal, or one class of it, and the signals of the same service that follow from it.
#[derive(Debug)]
pub(super) struct Link {
    cause: &'static str,
    /// `None`: all classes.
    class: Option<&'static str>,
    effects: &'static [&'static str],
}

/// The product's links. They have no cycle, which a test checks.
const LINKS: &[Link] = &[Link {
    cause: name::FDS_EXHAUSTED,
    // The classes `near` and `growing` have no effect yet.
    class: Some(class::FDS_NONE_LEFT),
    effects: &[name::ACCEPT_QUEUE, name::LISTEN_OVERFLOW, name::HUNG_REQUEST],
}];

/// The links by which incidents are connected.
#[derive(Clone, Copy, Debug)]
pub(super) struct Graph(&'static [Link]);

impl Default for Graph {
    fn default() -> Self {
        Self(LINKS)
    }
}

/// An incident of a signal that occurs in a link.
struct Node<'a> {
    signal: &'static str,
    service: Option<&'a Service>,
    id: &'a str,
    class: Option<&'static str>,
    opened_ns: u64,
    is_firing: bool,
    nearest_cause: Option<&'a str>,
    /// Its own proof, if it would page.
    page: Option<TwoKeys>,
}

/// What the links make of a node.
#[derive(Clone, Default)]
struct Linked {
    nearest_cause: Option<String>,
    root: Option<String>,
    inherited_keys: Option<TwoKeys>,
}

impl Graph {
    /// Finds the causes of all incidents as they are at the end of a window, and the severity that roots inherit.
    pub(super) fn link(self, entries: &mut Entries) {
        let nodes = self.nodes(entries);
        let mut linked = self.resolve(&nodes).into_iter();
        let entries = entries.iter_mut().filter(|(signal, _)| self.has(signal));
        for entry in entries.flat_map(|(_, of)| of.values_mut()) {
            entry.inherited_keys = None;
            let Some(incident) = entry.incident.as_deref_mut() else { continue };
            // As many as there are nodes, in their order.
            let Some(Linked { nearest_cause, root, inherited_keys }) = linked.next() else { continue };
            entry.inherited_keys = inherited_keys;
            if entry.alarm.level().is_some() {
                incident.nearest_cause = nearest_cause;
                incident.alert.set_caused_by(root);
            }
        }
    }

    fn has(self, signal: &str) -> bool {
        self.0.iter().any(|link| link.cause == signal || link.effects.contains(&signal))
    }

    fn nodes(self, entries: &Entries) -> Vec<Node<'_>> {
        let entries = entries.iter().filter(|(signal, _)| self.has(signal));
        let entries = entries.flat_map(|(signal, of)| of.iter().map(move |(subject, entry)| (*signal, subject, entry)));
        entries.filter_map(|(signal, subject, entry)| Node::of(signal, subject, entry)).collect()
    }

    fn resolve(self, nodes: &[Node<'_>]) -> Vec<Linked> {
        let causes = self.causes(nodes);
        let id = |node: usize| nodes[node].id.to_owned();
        let mut linked: Vec<Linked> = causes
            .iter()
            .enumerate()
            .map(|(node, cause)| Linked {
                nearest_cause: cause.map(id),
                root: root(&causes, node).map(id),
                inherited_keys: None,
            })
            .collect();
        // In the order of the table: of several that would page, the last is what the root inherits.
        for effect in self.0.iter().flat_map(|link| link.effects) {
            for (node, Node { page, .. }) in nodes.iter().enumerate().filter(|(_, node)| node.signal == *effect) {
                if let (Some(root), Some(keys)) = (root(&causes, node), page) {
                    linked[root].inherited_keys = Some(*keys);
                }
            }
        }
        linked
    }

    /// The nearest cause of each node.
    fn causes(self, nodes: &[Node<'_>]) -> Vec<Option<usize>> {
        let by_id: BTreeMap<&str, usize> = nodes.iter().enumerate().map(|(node, known)| (known.id, node)).collect();
        let mut causes: Vec<Option<usize>> = nodes.iter().map(|node| by_id.get(node.nearest_cause?).copied()).collect();
        let mut without: Vec<usize> =
            (0..nodes.len()).filter(|node| causes[*node].is_none() && nodes[*node].is_firing).collect();
        without.sort_by_key(|node| Reverse((nodes[*node].opened_ns, *node)));
        for node in without {
            causes[node] = self.candidates(nodes, node).find(|cause| !leads_to(&causes, *cause, node));
        }
        causes
    }

    /// What may be the cause of a node, in the order of the table, then of subjects.
    fn candidates(self, nodes: &[Node<'_>], effect: usize) -> impl Iterator<Item = usize> {
        let effect = &nodes[effect];
        let links = self.0.iter().filter(|link| link.effects.contains(&effect.signal));
        links.flat_map(move |link| (0..nodes.len()).filter(move |cause| link.connects(&nodes[*cause], effect)))
    }
}

impl Link {
    fn connects(&self, cause: &Node<'_>, effect: &Node<'_>) -> bool {
        let is_cause = cause.signal == self.cause && self.class.is_none_or(|class| cause.class == Some(class));
        is_cause && cause.is_firing && cause.service.is_some() && cause.service == effect.service
    }
}

impl<'a> Node<'a> {
    fn of(signal: &'static str, subject: &'a Subject, entry: &'a Entry) -> Option<Self> {
        let incident = entry.incident.as_deref()?;
        let level = entry.alarm.level();
        Some(Self {
            signal,
            service: subject.about(),
            id: incident.alert.id(),
            class: incident.alert.class(),
            opened_ns: incident.opened_ns,
            is_firing: level.is_some(),
            nearest_cause: incident.nearest_cause.as_deref(),
            page: entry.keys.filter(|_| level == Some(Level::Critical)),
        })
    }
}

/// A node and everything that it follows from, nearest first. Ends because `causes` has no cycle.
fn chain(causes: &[Option<usize>], from: usize) -> impl Iterator<Item = usize> {
    std::iter::successors(Some(from), |node| causes[*node])
}

fn leads_to(causes: &[Option<usize>], from: usize, to: usize) -> bool {
    chain(causes, from).any(|node| node == to)
}

/// What a node follows from in the end; none of a node without a cause.
fn root(causes: &[Option<usize>], node: usize) -> Option<usize> {
    chain(causes, node).skip(1).last()
}

#[cfg(test)]
mod tests;
