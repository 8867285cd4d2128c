//! The engine: remembers records, closes windows.

use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use weir_abi::{ConnectFailed, EdgeKey, EdgeRecord, FIRST_SLOT, ROLE_SERVER};

use crate::{
    degraded::History,
    identity::{Identity, Named, NamedEnd},
    input::{AgentCost, Input, Naming, ProbeState, Started},
    state::{
        compact::{Compact, Header},
        cumulative::Cumulative,
        fold::{self, Between, Destination, FoldKey},
        host::Host,
        names::Names,
        queues::Queues,
    },
    window::{Ended, MAX_WINDOWS, Schedule, WindowId},
};

use open_window::{Mark, OpenWindow};

/// The state behind the snapshots. Memory: half a KiB for each edge, and for each window's beginning since which it has
/// changed.
#[derive(Debug)]
pub struct Engine {
    started: Started,
    now: Mark,
    /// Cumulative state, as of the last input.
    latest: Cumulative,
    windows: Vec<OpenWindow>,
    /// Windows that ended with the last input: they close with the next one, so that they can be read in between.
    ended: Ended,
    probes: Vec<ProbeState>,
    names: Names,
    naming: Naming,
    failures: BTreeMap<EdgeKey, ConnectFailed>,
    evicted: u64,
    degraded: History,
    host: Host,
    queues: Queues,
    gap: Gap,
    gaps: Gaps,
}

/// Where a gap in the stream stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gap {
    None,
    /// Nothing has come since: what was known before is the last that is known.
    Begun,
    /// What holds comes again, up to the next tick.
    BeingClosed,
}

/// Inputs that a recording could not take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    /// How many times.
    pub count: u64,
    /// How many inputs in all.
    pub inputs: u64,
}

impl Engine {
    /// An engine without inputs, and with these windows, of which the first eight are kept.
    pub fn new(schedules: impl IntoIterator<Item = Schedule>) -> Self {
        let windows: Vec<OpenWindow> = schedules.into_iter().take(MAX_WINDOWS).map(OpenWindow::new).collect();
        Self {
            started: Started::default(),
            now: Mark::default(),
            latest: Cumulative::default(),
            ended: Ended::default(),
            probes: Vec::new(),
            names: Names::default(),
            naming: Naming::default(),
            failures: BTreeMap::new(),
            evicted: 0,
            degraded: History::default(),
            host: Host::with_windows(windows.len()),
            queues: Queues::with_windows(windows.len()),
            windows,
            gap: Gap::None,
            gaps: Gaps::default(),
        }
    }

    /// Takes one input. Returns the windows that end with it, which only a tick can do: until the next input they can be
    /// read by `snapshot`.
    pub fn take(&mut self, input: Input<'_>) -> Ended {
        self.close_ended();
        if self.gap == Gap::Begun && !matches!(input, Input::Gap { .. }) {
            self.forget_all();
        }
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
            Input::Gap { inputs } => {
                self.gap = Gap::Begun;
                self.gaps.count += 1;
                self.gaps.inputs = self.gaps.inputs.saturating_add(inputs);
            }
            Input::Tick { monotonic_ns, unix_ns } => self.tick(Mark { monotonic_ns, unix_ns }),
        }
        self.ended
    }

    fn start(&mut self, started: Started) {
        self.now = Mark { monotonic_ns: started.monotonic_ns, unix_ns: started.unix_ns };
        self.windows.iter_mut().for_each(|window| window.begin(self.now));
        self.started = started;
    }

    fn tick(&mut self, mark: Mark) {
        self.now = mark;
        if self.gap == Gap::BeingClosed {
            self.end_gap();
            return;
        }
        let mut slid = Ended::default();
        for (window, open) in self.windows.iter_mut().enumerate() {
            if open.cadence.as_mut().is_some_and(|cadence| cadence.tick(mark.monotonic_ns)) {
                // A sliding window has no end to be read at: it only forgets.
                let ended = if open.next.is_some() { &mut slid } else { &mut self.ended };
                ended.add(window);
            }
        }
        if !slid.is_empty() {
            self.close(slid);
        }
    }

    /// Whether a tick at that time would end a window that the next one does not overlap.
    pub fn would_end(&self, monotonic_ns: u64) -> bool {
        self.windows.iter().any(|open| {
            matches!(open.schedule, Schedule::Tumbling { .. })
                && open.cadence.is_some_and(|cadence| cadence.is_due(monotonic_ns))
        })
    }

    /// The windows that ended with the last tick begin anew there.
    fn close_ended(&mut self) {
        let ended = std::mem::take(&mut self.ended);
        if !ended.is_empty() {
            self.close(ended);
        }
    }

    fn close(&mut self, ended: Ended) {
        for (window, open) in self.windows.iter_mut().enumerate().filter(|(i, _)| ended.contains(WindowId(*i))) {
            open.close(self.now, &self.latest);
            self.host.close_window(window, self.now.monotonic_ns);
            self.queues.close_window(window);
        }
        self.forget();
    }

    /// What lies before all windows cannot be asked for again.
    fn forget(&mut self) {
        let oldest_ns = self.windows.iter().map(|open| open.from.0.monotonic_ns).min().unwrap_or(0);
        self.failures.retain(|_, failure| failure.at_ns >= oldest_ns);
        self.degraded.forget(oldest_ns);
        let Self { latest, windows, .. } = self;
        let idle = |key: &Rc<FoldKey>, sum: &Rc<Compact>| {
            windows.iter().all(|open| open.from.1.folded.get(key).is_some_and(|before| before == sum))
        };
        latest.folded.retain(|key, sum| !idle(key, sum));
        for mark in windows.iter_mut().flat_map(OpenWindow::marks) {
            mark.folded.retain(|key, _| latest.folded.contains_key(key));
        }
    }

    /// What was known may have changed in the gap: all of it comes again, up to the next tick.
    fn forget_all(&mut self) {
        self.gap = Gap::BeingClosed;
        self.latest = Cumulative::default();
        self.names = Names::default();
        self.failures.clear();
        self.host.forget();
        self.queues = Queues::with_windows(self.windows.len());
    }

    /// All windows begin anew: what was counted in the gap is of no window.
    fn end_gap(&mut self) {
        self.gap = Gap::None;
        for (window, open) in self.windows.iter_mut().enumerate() {
            open.begin(self.now);
            open.marks().for_each(|mark| *mark = self.latest.clone());
            self.host.close_window(window, self.now.monotonic_ns);
            self.queues.close_window(window);
        }
    }

    /// Inputs that a recording could not take.
    pub fn gaps(&self) -> Gaps {
        self.gaps
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
        for mark in self.windows.iter_mut().flat_map(OpenWindow::marks) {
            if let Some(before) = mark.edges.insert(slot, Rc::clone(&record)) {
                destination.add(&mut mark.folded, &before);
            }
        }
    }

    /// The first word of the agent's cost is what starting took: windows count from there.
    fn remember_agent(&mut self, agent: AgentCost) {
        for mark in self.windows.iter_mut().flat_map(OpenWindow::marks) {
            mark.agent.get_or_insert_with(|| agent.clone());
        }
        self.latest.agent = Some(agent);
    }

    /// The slot's counts are folded into its service's edge, in every window alike.
    fn retire(&mut self, slot: u32) {
        self.evicted += 1;
        let Some(record) = self.latest.edges.get(&slot).cloned() else { return };
        let header = &record.header;
        let mut destination = Destination::of(slot, header, &self.names, &self.latest.folded);
        let silent = self.windows.iter().all(|open| open.from.1.edges.get(&slot) == Some(&record));
        if !silent {
            self.latest.services_over_limit += u64::from(destination.redirect_if_full(&self.latest.folded));
        }
        let marks = self.windows.iter_mut().flat_map(OpenWindow::marks);
        for cumulative in marks.chain([&mut self.latest]) {
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
            let marks = self.windows.iter_mut().flat_map(OpenWindow::marks);
            for cumulative in marks.chain([&mut self.latest]) {
                if let Some(sum) = cumulative.folded.remove(&key) {
                    destination.add(&mut cumulative.folded, &sum);
                }
            }
        }
    }

    /// Ends a window at the last tick.
    #[cfg(test)]
    fn close_window(&mut self, window: WindowId) {
        let mut ended = Ended::default();
        ended.add(window.0);
        self.close(ended);
    }

    /// Ends every window at the last tick.
    #[cfg(test)]
    fn close_windows(&mut self) {
        let mut all = Ended::default();
        (0..self.windows.len()).for_each(|window| all.add(window));
        self.close(all);
    }
}

mod open_window;
mod reading;

#[cfg(test)]
mod conservation;
#[cfg(test)]
mod tests;
