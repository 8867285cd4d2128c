//! Reading a window: the difference between the state now and at its beginning, with all that was lost on the way.

use std::sync::Arc;

use weir_abi::Counter;

use super::{Engine, open_window::Mark};
use crate::{
    edge::join::{Reading, Sources, edges},
    snapshot::{Coverage, Losses, Snapshot},
    state::cumulative::Cumulative,
    window::{Span, WindowId},
};

impl Engine {
    /// A window as of the last tick: empty for a window that this engine does not keep.
    pub fn snapshot(&self, window: WindowId) -> Snapshot {
        let nothing = (Mark::default(), Cumulative::default());
        let (from, before) = self.windows.get(window.0).map_or(&nothing, |open| &open.from);
        let span = Span { from_ns: from.monotonic_ns, to_ns: self.now.monotonic_ns };
        let mut readings = Vec::with_capacity(self.latest.edges.len());
        for (slot, after) in &self.latest.edges {
            readings.push(Reading::new(*slot, before.edges.get(slot).map(|b| &**b), after));
        }
        let counted = |c: Counter| {
            let i = c as usize;
            self.latest.counters[i].wrapping_sub(before.counters[i])
        };
        let window_ns = span.to_ns.saturating_sub(span.from_ns);
        let edges = edges(Sources {
            readings,
            folded: (&before.folded, &self.latest.folded),
            names: &self.names,
            failures: &self.failures,
            span,
        });
        Snapshot {
            window_ns,
            end_monotonic_ns: self.now.monotonic_ns,
            end_unix_ns: self.now.unix_ns,
            kernel: self.started.kernel.clone(),
            version: self.started.version.clone(),
            machine: Arc::clone(&self.started.machine),
            losses: self.losses(before, &counted),
            coverage: self.coverage(&counted),
            missing_probes: self.probes.iter().filter(|p| p.missing.is_some()).cloned().collect(),
            naming: self.naming.clone(),
            degradation: self.degraded.since(from.monotonic_ns),
            cost: self.latest.cost_since(before),
            host: self.host.view(window.0),
            accept_queues: self.queues.views(window.0),
            edges_total: edges.len(),
            edges,
        }
    }

    fn losses(&self, before: &Cumulative, counted: &dyn Fn(Counter) -> u64) -> Losses {
        let misses = self.latest.programs.values().map(|program| {
            let earlier = before.programs.get(&program.name).map_or(0, |b| b.recursion_misses);
            program.recursion_misses.saturating_sub(earlier)
        });
        Losses {
            ring_full: counted(Counter::RingFull),
            edges_over_limit: counted(Counter::EdgesOverLimit),
            sockets_over_limit: counted(Counter::SocketsOverLimit),
            socket_storage_failed: counted(Counter::SocketStorageFailed),
            unknown_sockets: counted(Counter::UnknownSockets),
            listeners_over_limit: counted(Counter::ListenersOverLimit),
            unreadable_connects: counted(Counter::UnreadableConnects),
            sends_missed: counted(Counter::SendsMissed),
            dns_replies_dropped: counted(Counter::DnsRepliesDropped),
            dns_replies_unread: counted(Counter::DnsRepliesUnread),
            recursion_misses: misses.fold(0, u64::wrapping_add),
            services_over_limit: self.latest.services_over_limit.wrapping_sub(before.services_over_limit),
        }
    }

    fn coverage(&self, counted: &dyn Fn(Counter) -> u64) -> Coverage {
        let total = |c: Counter| self.latest.counters[c as usize];
        Coverage {
            tracked: counted(Counter::SocketsTracked),
            missed: counted(Counter::SocketsOverLimit).wrapping_add(counted(Counter::SocketStorageFailed)),
            accepted_pending: total(Counter::Accepted).saturating_sub(total(Counter::AcceptedAttributed)),
            sockets_now: total(Counter::SocketsTracked).saturating_sub(total(Counter::SocketsReleased)),
            evicted_edges: self.evicted,
            synack_retransmits: counted(Counter::SynackRetransmits),
        }
    }
}
