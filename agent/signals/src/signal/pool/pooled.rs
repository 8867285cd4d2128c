//! Which connections are a pool: those of one process to one service.

use std::{collections::BTreeMap, net::SocketAddr};

use super::{
    inbound::{self, Inbound},
    reading::{Callers, Known},
    usage::Usage,
};
use crate::{learn::subjects::Subjects, report::contract::Place, subject::Subject, window::Window};
use weir_engine::{Edge, Service, View};

/// A pool in a window, and what a signal remembers of it.
#[derive(Debug, Default)]
pub(super) struct Pooled<T> {
    /// Of this window; nothing between two.
    pub(super) usage: Option<Box<Usage>>,
    pid: u32,
    pub(super) process: Option<Place>,
    pub(super) address: Option<SocketAddr>,
    pub(super) of: T,
}

/// Who asks the processes that have pools, and what else these wait for.
#[derive(Debug)]
pub(super) struct Around {
    inbound: BTreeMap<u32, Option<Inbound>>,
    /// The time integral of all that each process waits for.
    waiting: BTreeMap<u32, u64>,
    window_ns: u64,
}

/// Adds up the connections of each process to each service. A pool is remembered from when some of them are worth it.
pub(super) fn gather<T: Default>(
    pools: &mut Subjects<Pooled<T>>,
    window: &Window<'_>,
    is_worth: impl Fn(&View) -> bool,
) -> Around {
    pools.begin(window.at.monotonic_ns);
    let mut waiting: BTreeMap<u32, u64> = BTreeMap::new();
    for edge in window.snapshot.edges.iter().filter(|edge| !edge.is_other) {
        let (Ok(view), Ok(process)) = (&edge.client_view, &edge.client.process) else { continue };
        let sum = waiting.entry(process.pid).or_default();
        *sum = sum.saturating_add(view.in_flight_ns);
        let (client, server) = (Service::of(&edge.client.identity), Service::of(&edge.server.identity));
        let unit = Subject::edge_of_process(client, process.pid, server, edge.server.port);
        if !is_worth(view) && !pools.contains(&unit) {
            continue;
        }
        let Some(pool) = pools.entry(unit, |pool| pool.usage = None) else { continue };
        pool.usage.get_or_insert_default().add(view, window.snapshot.window_ns);
        pool.met(edge);
    }
    let inbound = inbound::of(window.snapshot, |pid| waiting.contains_key(&pid));
    Around { inbound, waiting, window_ns: window.snapshot.window_ns }
}

impl<T> Pooled<T> {
    fn met(&mut self, edge: &Edge) {
        if let Ok(process) = &edge.client.process {
            self.pid = process.pid;
            self.process = Some(Place::of(process));
        }
        self.address = edge.server.socket_address().or(self.address);
    }

    /// What is known of the callers of its process.
    pub(super) fn callers(&self, usage: &Usage, around: &Around) -> Known {
        let elsewhere_ns = around.waiting.get(&self.pid).map_or(0, |all| all.saturating_sub(usage.in_flight_ns()));
        match around.inbound.get(&self.pid) {
            None => Known::Nobody,
            Some(None) => Known::Uncounted,
            Some(Some(inbound)) => Known::Counted(Callers::of(inbound, elsewhere_ns, around.window_ns)),
        }
    }
}
