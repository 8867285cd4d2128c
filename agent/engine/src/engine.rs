//! The engine: remembers records, closes windows.

use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use weir_abi::{ConnectFailed, Counter, EdgeKey, EdgeRecord, FIRST_SLOT, ROLE_SERVER};

use crate::{
    compact::{Compact, Header},
    degraded::History,
    fold::{self, Between, Destination},
    host::Host,
    identity::{Identity, Named, NamedEnd},
    input::{AgentCost, Input, Naming, ProbeState, Started},
    join,
    names::Names,
    queues::Queues,
    snapshot::{Coverage, Losses, Snapshot},
};

mod cumulative;

use cumulative::Cumulative;

/// What a snapshot covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// Everything since the start, or since `close_window`.
    Whole,
    /// The last one to two spans of this many nanoseconds.
    Sliding {
        /// Half of the window.
        span_ns: u64,
    },
}

/// The state behind the snapshots. Memory: half a KiB for each edge, and for each mark since which it has changed.
#[derive(Debug)]
pub struct Engine {
    window: Window,
    started: Started,
    now: Mark,
    /// Cumulative state, as last told.
    latest: Cumulative,
    /// The state at the window's start, and at the mark that will be the next start.
    from: (Mark, Cumulative),
    next: (Mark, Cumulative),
    probes: Vec<ProbeState>,
    names: Names,
    naming: Naming,
    failures: BTreeMap<EdgeKey, ConnectFailed>,
    evicted: u64,
    degraded: History,
    host: Host,
    queues: Queues,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    monotonic_ns: u64,
    unix_ns: u64,
}

impl Engine {
    /// An engine that has been told nothing.
    pub fn new(window: Window) -> Self {
        Self {
            window,
            started: Started::default(),
            now: Mark::default(),
            latest: Cumulative::default(),
            from: Default::default(),
            next: Default::default(),
            probes: Vec::new(),
            names: Names::default(),
            naming: Naming::default(),
            failures: BTreeMap::new(),
            evicted: 0,
            degraded: History::default(),
            host: Host::default(),
            queues: Queues::default(),
        }
    }

    /// Takes one input.
    pub fn take(&mut self, input: Input<'_>) {
        match input {
            Input::Started(started) => self.start(started),
            Input::Probe(state) => self.probes.push(state),
            Input::Edge { slot, record } => self.remember(slot, record),
            Input::Named(named) => self.learn(named),
            Input::Backend(backend) => self.names.backend(backend),
            Input::Naming(naming) => self.naming = naming,
            Input::Retired { slot } => self.retire(slot),
            Input::ConnectFailed(event) => {
                self.failures.insert(event.key, event);
            }
            Input::Counters(counters) => self.latest.counters = counters,
            Input::Program(program) => self.latest.remember_program(program),
            Input::AcceptQueue { at, queue } => self.queues.take(self.now.monotonic_ns, at, queue),
            Input::Polled(polled) => self.host.take(self.now.monotonic_ns, polled),
            Input::Degraded(degraded) => self.degraded.add(self.now.monotonic_ns, degraded),
            Input::Agent(agent) => self.remember_agent(agent),
            Input::Tick { monotonic_ns, unix_ns } => self.tick(Mark { monotonic_ns, unix_ns }),
        }
    }

    fn start(&mut self, started: Started) {
        let mark = Mark { monotonic_ns: started.monotonic_ns, unix_ns: started.unix_ns };
        self.now = mark;
        self.from.0 = mark;
        self.next.0 = mark;
        self.started = started;
    }

    fn tick(&mut self, mark: Mark) {
        self.now = mark;
        let Window::Sliding { span_ns } = self.window else { return };
        if mark.monotonic_ns.saturating_sub(self.next.0.monotonic_ns) >= span_ns {
            std::mem::swap(&mut self.from, &mut self.next);
            self.next.0 = mark;
            self.next.1.assign_from(&self.latest);
            self.forget(self.from.0.monotonic_ns);
            self.host.close_window(mark.monotonic_ns);
            self.queues.close_window();
        }
    }

    /// What lies before the window is not asked for again.
    fn forget(&mut self, oldest_ns: u64) {
        self.failures.retain(|_, failure| failure.at_ns >= oldest_ns);
        self.degraded.forget(oldest_ns);
        let Self { latest, from, next, .. } = self;
        let idle = |(key, sum): (&_, &Rc<Compact>)| from.1.folded.get(key).is_some_and(|before| before == sum);
        latest.folded.retain(|key, sum| !idle((key, sum)));
        for mark in [from, next] {
            mark.1.folded.retain(|key, _| latest.folded.contains_key(key));
        }
    }

    fn remember(&mut self, slot: u32, record: &EdgeRecord) {
        if let Some(header) = self.latest.remember(slot, record)
            && slot >= FIRST_SLOT
        {
            self.names.appeared(slot, &header, self.now.monotonic_ns);
        }
    }

    /// A name. Where an edge goes on under another one, what it has counted so far stays with the old.
    fn learn(&mut self, named: Named) {
        let (slot, end) = (named.slot, named.end);
        let Some(old) = self.names.learn(named) else { return };
        let Some(record) = self.latest.edges.get(&slot).cloned() else { return };
        let header = &record.header;
        let (own, far) = match end {
            NamedEnd::Own => (Some(&old), None),
            NamedEnd::Far => (None, Some(&old)),
        };
        let destination = Destination::of(slot, header, &self.names, &self.latest.folded).with(own, far);
        let shared = destination.shared;
        self.part(slot, destination);
        if header.key.role == ROLE_SERVER {
            return;
        }
        // Its servers' counts go with its own, or they would be taken for those of what follows.
        for server in self.names.server_slots(header) {
            let between = Between::called(slot, header, &self.names.own(server), &self.names);
            self.part(server, Destination::of_behind(between, shared).with(None, own));
        }
        self.release(slot, header, shared, own);
    }

    /// What a slot has counted so far goes there; what it counts from now on is its own.
    fn part(&mut self, slot: u32, mut destination: Destination) {
        let Some(record) = self.latest.edges.get(&slot).cloned() else { return };
        self.latest.services_over_limit += u64::from(destination.redirect_if_full(&self.latest.folded));
        destination.add(&mut self.latest.folded, &fold::closed(&record));
        for mark in [&mut self.from.1, &mut self.next.1] {
            if let Some(before) = mark.edges.insert(slot, Rc::clone(&record)) {
                destination.add(&mut mark.folded, &before);
            }
        }
    }

    /// The first word of the agent's cost is what starting took: windows count from there.
    fn remember_agent(&mut self, agent: AgentCost) {
        for cumulative in [&mut self.from.1, &mut self.next.1] {
            cumulative.agent.get_or_insert_with(|| agent.clone());
        }
        self.latest.agent = Some(agent);
    }

    /// The slot's counts are folded into its service's edge, in every window alike.
    fn retire(&mut self, slot: u32) {
        self.evicted += 1;
        let Some(record) = self.latest.edges.get(&slot).cloned() else { return };
        let header = &record.header;
        let mut destination = Destination::of(slot, header, &self.names, &self.latest.folded);
        let silent = self.from.1.edges.get(&slot) == Some(&record);
        if !silent {
            self.latest.services_over_limit += u64::from(destination.redirect_if_full(&self.latest.folded));
        }
        for cumulative in [&mut self.latest, &mut self.from.1, &mut self.next.1] {
            if let Some(record) = cumulative.edges.remove(&slot)
                && !silent
            {
                destination.add(&mut cumulative.folded, &record);
            }
        }
        self.release(slot, header, destination.shared, None);
        self.names.vanished(slot, header, destination.shared);
        // The example of a failure goes with the slot: the edge it stood for is no more.
        self.failures.remove(&header.key);
    }

    /// What was folded behind a client, `named` where that is not its present name, goes where its own counts have gone.
    fn release(&mut self, slot: u32, header: &Header, shared: bool, named: Option<&Arc<Identity>>) {
        let behind = fold::behind(slot, &self.latest.folded).map(|(server, key)| (Arc::clone(server), Rc::clone(key)));
        for (server, key) in behind.collect::<Vec<_>>() {
            let between = Between::called(slot, header, &server, &self.names);
            let mut destination = Destination::of_behind(between, shared).with(None, named);
            self.latest.services_over_limit += u64::from(destination.redirect_if_full(&self.latest.folded));
            for cumulative in [&mut self.latest, &mut self.from.1, &mut self.next.1] {
                if let Some(sum) = cumulative.folded.remove(&key) {
                    destination.add(&mut cumulative.folded, &sum);
                }
            }
        }
    }

    /// What snapshots cover.
    pub fn window(&self) -> Window {
        self.window
    }

    /// Ends the window at the last tick: the next one begins there.
    pub fn close_window(&mut self) {
        self.next = (self.now, self.latest.clone());
        self.from = self.next.clone();
        self.failures.clear();
        self.host.close_window(self.now.monotonic_ns);
        self.queues.close_window();
        self.forget(self.now.monotonic_ns);
    }

    /// The window as of the last tick.
    pub fn snapshot(&self) -> Snapshot {
        let (from, before) = &self.from;
        let span = join::Span { from_ns: from.monotonic_ns, to_ns: self.now.monotonic_ns };
        let mut readings = Vec::with_capacity(self.latest.edges.len());
        for (slot, after) in &self.latest.edges {
            readings.push(join::Reading::new(*slot, before.edges.get(slot).map(|b| &**b), after));
        }
        let counted = |c: Counter| {
            let i = c as usize;
            self.latest.counters[i].wrapping_sub(before.counters[i])
        };
        let window_ns = span.to_ns.saturating_sub(span.from_ns);
        let edges = join::edges(join::Sources {
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
            losses: self.losses(&counted),
            coverage: self.coverage(&counted),
            missing_probes: self.probes.iter().filter(|p| p.missing.is_some()).cloned().collect(),
            naming: self.naming.clone(),
            degradation: self.degraded.since(from.monotonic_ns),
            cost: self.latest.cost_since(before),
            host: self.host.view(),
            accept_queues: self.queues.views(),
            edges_total: edges.len(),
            edges,
        }
    }

    fn losses(&self, counted: &dyn Fn(Counter) -> u64) -> Losses {
        let before = &self.from.1.programs;
        let misses = self.latest.programs.values().map(|program| {
            let earlier = before.get(&program.name).map_or(0, |b| b.recursion_misses);
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
            services_over_limit: self.latest.services_over_limit.wrapping_sub(self.from.1.services_over_limit),
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

#[cfg(test)]
mod conservation;
#[cfg(test)]
mod tests;
