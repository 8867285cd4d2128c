//! Pools of connections: those of one process to one service. And what the callers of these processes ask of them.

use std::{cell::OnceCell, collections::BTreeMap, net::SocketAddr};

pub(crate) use self::{inbound::Inbound, usage::Usage};
use crate::{
    facts::edges::{self, EdgeFacts},
    report::contract::Place,
    subject::Subject,
};
use weir_engine::{Process, Service};

mod inbound;
mod usage;

/// A pool in a window.
#[derive(Debug)]
pub(crate) struct Pool<'a> {
    edges: Vec<EdgeFacts<'a>>,
    process: &'a Process,
    window_ns: u64,
    usage: OnceCell<Usage>,
}

/// All of them, and what is known of their processes.
#[derive(Debug)]
pub(crate) struct Pools<'a> {
    pub(crate) pools: Vec<(Subject, Pool<'a>)>,
    inbound: BTreeMap<u32, Option<Inbound>>,
    /// The time integral of all that each process waits for.
    waiting: BTreeMap<u32, u64>,
}

impl<'a> Pools<'a> {
    pub(super) fn of(edges: &[EdgeFacts<'a>], window_ns: u64) -> Self {
        let mut waiting: BTreeMap<u32, u64> = BTreeMap::new();
        let pooled = edges.iter().filter_map(|facts| {
            let (view, process) = (facts.client()?, facts.edge.client.process.as_ref().ok()?);
            let sum = waiting.entry(process.pid).or_default();
            *sum = sum.saturating_add(view.in_flight_ns);
            let [client, to] = [&facts.edge.client, &facts.edge.server].map(|end| Service::of(&end.identity));
            let subject = Subject::edge_of_process(client, process.pid, to, facts.edge.server.port);
            Some((subject, (*facts, process)))
        });
        let pools = edges::grouped(pooled).into_iter().filter_map(|(subject, edges)| {
            // Of one process, which is the same on all of them.
            let (_, process) = *edges.first()?;
            let edges = edges.into_iter().map(|(facts, _)| facts).collect();
            Some((subject, Pool { edges, process, window_ns, usage: OnceCell::new() }))
        });
        let pools = pools.collect();
        let inbound = inbound::of(edges, window_ns, |pid| waiting.contains_key(&pid));
        Self { pools, inbound, waiting }
    }

    /// What callers ask of a pool's process: none where it has no callers; `Some(None)` where their requests overlap on a
    /// connection, so that how many it has under work is not known.
    pub(crate) fn inbound(&self, pool: &Pool<'_>) -> Option<Option<&Inbound>> {
        self.inbound.get(&pool.process.pid).map(Option::as_ref)
    }

    /// The time integral of what a pool's process waits for on other edges, nanoseconds.
    pub(crate) fn elsewhere_ns(&self, pool: &Pool<'_>) -> u64 {
        let all = self.waiting.get(&pool.process.pid).copied().unwrap_or(0);
        all.saturating_sub(pool.usage().in_flight_ns())
    }
}

impl Pool<'_> {
    /// How its connections were used.
    pub(crate) fn usage(&self) -> &Usage {
        self.usage.get_or_init(|| {
            let mut usage = Usage::default();
            self.edges.iter().for_each(|facts| usage.add(facts, self.window_ns));
            usage
        })
    }

    /// Whether some connections are open at the end of the window.
    pub(crate) fn is_open(&self) -> bool {
        self.edges.iter().filter_map(EdgeFacts::client).any(|view| view.open_connections > 0)
    }

    /// The part of the connections that wait for answers, at the address where it is largest.
    pub(crate) fn busiest_share(&self) -> f64 {
        let open = self.edges.iter().filter_map(EdgeFacts::client).filter(|view| view.open_connections > 0);
        let share = |in_flight_ns: u64, n: u64| in_flight_ns as f64 / (n as f64 * self.window_ns.max(1) as f64);
        open.map(|view| share(view.in_flight_ns, view.open_connections)).fold(0.0, f64::max)
    }

    pub(crate) fn process(&self) -> Place {
        Place::of(self.process)
    }

    /// The last of the service's addresses that is known.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        self.edges.iter().rev().find_map(|facts| facts.edge.server.socket_address())
    }
}
