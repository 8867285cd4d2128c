//! The engine: remembers records, closes windows.

use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use weir_abi::{ConnectFailed, Counter, EdgeKey, EdgeRecord, FIRST_SLOT, N_COUNTERS, SLOT_LIVE};

use crate::{
    compact::Compact,
    degraded::History,
    input::{AgentCost, Input, ProbeState, ProgramCost, Started},
    join,
    snapshot::{Cost, Coverage, Losses, Snapshot},
};

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

type Counters = [u64; N_COUNTERS as usize];

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
    failures: BTreeMap<EdgeKey, ConnectFailed>,
    evicted: u64,
    degraded: History,
}

#[derive(Clone, Copy, Debug, Default)]
struct Mark {
    monotonic_ns: u64,
    unix_ns: u64,
}

#[derive(Clone, Debug)]
struct Cumulative {
    /// A mark shares what has not changed since.
    edges: BTreeMap<u32, Rc<Compact>>,
    counters: Counters,
    programs: BTreeMap<Arc<str>, ProgramCost>,
    agent: Option<AgentCost>,
}

impl Default for Cumulative {
    fn default() -> Self {
        Self { edges: BTreeMap::new(), counters: [0; N_COUNTERS as usize], programs: BTreeMap::new(), agent: None }
    }
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
            failures: BTreeMap::new(),
            evicted: 0,
            degraded: History::default(),
        }
    }

    /// Takes one input.
    pub fn take(&mut self, input: Input<'_>) {
        match input {
            Input::Started(started) => self.start(started),
            Input::Probe(state) => self.probes.push(state),
            Input::Edge { slot, record } => self.latest.remember(slot, record),
            Input::Retired { slot } => self.retire(slot),
            Input::ConnectFailed(event) => {
                self.failures.insert(event.key, event);
            }
            Input::Counters(counters) => self.latest.counters = counters,
            Input::Program(program) => self.latest.remember_program(program),
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
            self.next.1.become_like(&self.latest);
            let oldest = self.from.0.monotonic_ns;
            self.failures.retain(|_, failure| failure.at_ns >= oldest);
            self.degraded.forget(oldest);
        }
    }

    /// The first word of the agent's cost is what starting took: windows count from there.
    fn remember_agent(&mut self, agent: AgentCost) {
        for cumulative in [&mut self.from.1, &mut self.next.1] {
            cumulative.agent.get_or_insert_with(|| agent.clone());
        }
        self.latest.agent = Some(agent);
    }

    fn retire(&mut self, slot: u32) {
        self.evicted += 1;
        for cumulative in [&mut self.latest, &mut self.from.1, &mut self.next.1] {
            if let Some(record) = cumulative.edges.remove(&slot) {
                self.failures.remove(&record.header.key);
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
        self.degraded.forget(self.now.monotonic_ns);
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
        Snapshot {
            window_ns: span.to_ns.saturating_sub(span.from_ns),
            end_unix_ns: self.now.unix_ns,
            kernel: self.started.kernel.clone(),
            version: self.started.version.clone(),
            losses: self.losses(&counted),
            coverage: self.coverage(&counted),
            missing_probes: self.probes.iter().filter(|p| p.missing.is_some()).cloned().collect(),
            degradation: self.degraded.since(from.monotonic_ns),
            cost: self.latest.cost_since(before),
            edges: join::edges(readings, &self.failures, &span),
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
            recursion_misses: misses.fold(0, u64::wrapping_add),
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

impl Cumulative {
    fn remember(&mut self, slot: u32, record: &EdgeRecord) {
        // A slot that is not in use has nothing to say; those of `other` never become live but count.
        if slot >= FIRST_SLOT && record.state != SLOT_LIVE {
            return;
        }
        match self.edges.get_mut(&slot) {
            Some(known) => match Rc::get_mut(known) {
                Some(own) => own.become_like(record),
                None => *known = Rc::new(known.successor(record)), // a mark has it too
            },
            None => {
                self.edges.insert(slot, Rc::new(Compact::of(record)));
            }
        }
    }

    fn remember_program(&mut self, program: ProgramCost) {
        match self.programs.get_mut(&program.name) {
            Some(known) => *known = program,
            None => {
                self.programs.insert(program.name.clone(), program);
            }
        }
    }

    /// Takes over a later state; records are shared until they change. What was retired since is gone from both.
    fn become_like(&mut self, later: &Self) {
        let Self { edges, counters, programs, agent } = later;
        for (slot, record) in edges {
            self.edges.insert(*slot, Rc::clone(record));
        }
        self.counters = *counters;
        programs.values().for_each(|program| self.remember_program(program.clone()));
        self.agent.clone_from(agent);
    }

    fn cost_since(&self, before: &Self) -> Cost {
        let programs = self.programs.values().map(|now| {
            let earlier = before.programs.get(&now.name);
            let runs = now.runs.map(|(runs, ns)| {
                let (runs_before, ns_before) = earlier.and_then(|b| b.runs).unwrap_or((0, 0));
                (runs.saturating_sub(runs_before), ns.saturating_sub(ns_before))
            });
            let misses = now.recursion_misses.saturating_sub(earlier.map_or(0, |b| b.recursion_misses));
            ProgramCost { name: now.name.clone(), runs, recursion_misses: misses }
        });
        let agent = self.agent.clone().unwrap_or_default();
        Cost {
            agent_cpu_ns: agent.cpu_ns.saturating_sub(before.agent.as_ref().map_or(0, |b| b.cpu_ns)),
            agent_rss_bytes: agent.rss_bytes,
            map_bytes: agent.map_bytes,
            programs: programs.collect(),
        }
    }
}

#[cfg(test)]
mod tests;
