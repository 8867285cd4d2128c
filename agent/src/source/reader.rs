//! From maps and ring to engine inputs. User space pays per edge and per tick, never per request.

mod cost;
mod edges;
mod queues;
mod retire;
mod ring;
mod wakeups;

use std::{
    os::fd::OwnedFd,
    sync::Arc,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use aya::maps::{Array, MapData};
use weir_abi::{Counter, EdgeRecord, FIRST_SLOT, N_COUNTERS, ProbeName};
use weir_engine::{Input, Machine, Started};
use weir_names::{Identities, kubernetes};

use crate::{
    memory::release_heap,
    probe::{control::ControlMap, load::Limits, serve::Probes},
    source::{clock::monotonic_ns, machine, poll::Poller},
};
use cost::CostReader;
pub use cost::Spent;
pub(crate) use cost::stats_enabled;
pub use edges::EdgeMemory;
use queues::QueueReader;
use retire::Retirement;
use ring::{Ring, RingEvent};
use wakeups::{CGROUPS_QUIET_NS, SuppressedWakeUps};

/// New edges that make a reading due before its tick, and retired ones that make the heap worth trimming: an eighth of the
/// default number of slots, a choice.
const MANY_EDGES: u32 = 512;

/// Reads the kernel half's maps and ring, and what belongs to the same moment: names, polls, weir's own cost.
pub struct Reader {
    probes: Probes,
    memory: EdgeMemory,
    scratch: Box<EdgeRecord>,
    retirement: Retirement,
    /// Fingerprint of each slot's record as last emitted: an unchanged record is not emitted again.
    emitted: Vec<u64>,
    ring: Ring,
    identities: Identities,
    /// New edges that the ring reported since the last reading.
    new_edges: u32,
    /// Slots of the edges that were new when the ring was last read.
    new_slots: Vec<u32>,
    suppressed_wake_ups: SuppressedWakeUps,
    /// Edges retired since the heap was last trimmed.
    retired: u32,
    counters: Array<MapData, u64>,
    cost: CostReader,
    /// None where nothing is polled.
    poller: Option<Poller>,
    /// None where accept queues are not watched.
    queues: Option<QueueReader>,
    machine: Arc<Machine>,
}

/// When a reading was made, and what weir had used up to then.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// Monotonic clock.
    pub monotonic_ns: u64,
    /// Used by the agent, its programs and its maps.
    pub spent: Spent,
    /// Sockets that have a record.
    pub sockets: u64,
}

impl Reader {
    /// Takes over running probes. `silence`: how long a silent edge is kept. `counts_runs`: the kernel counts and times program
    /// runs because weir asked it to.
    ///
    /// # Errors
    /// When one of the kernel half's maps, or one of the files of procfs about weir itself, cannot be opened.
    pub fn new(
        mut probes: Probes,
        limits: Limits,
        silence: Duration,
        counts_runs: bool,
        cluster: &kubernetes::Config,
    ) -> Result<Self> {
        let (monotonic_ns, unix_ns) = now();
        let memory = EdgeMemory::map(&probes.ebpf, limits.edges + FIRST_SLOT)?;
        let ring = Ring::open(&mut probes.ebpf)?;
        let counters = probes.ebpf.take_map("COUNTERS").context("the object has no map COUNTERS")?;
        let cost = CostReader::new(&probes.ebpf, counts_runs)?;
        let queues = limits.accept_queues.then(|| QueueReader::open(&mut probes.ebpf)).transpose()?;
        let retirement = Retirement::new(&mut probes.ebpf, silence)?;
        Ok(Self {
            probes,
            memory,
            scratch: Box::new(EdgeRecord::EMPTY),
            retirement,
            emitted: Vec::new(),
            ring,
            identities: Identities::new(cluster, unix_ns.wrapping_sub(monotonic_ns)),
            new_edges: 0,
            new_slots: Vec::new(),
            suppressed_wake_ups: SuppressedWakeUps::default(),
            retired: 0,
            counters: Array::try_from(counters)?,
            cost,
            poller: None,
            queues,
            machine: machine::this(cluster).into(),
        })
    }

    /// Also polls, from now on, what the kernel half does not report.
    pub(crate) fn start_polls(&mut self) {
        self.poller.get_or_insert_with(|| Poller::start(now().0));
    }

    /// The stream's first inputs: kernel, version and clocks, and the state of each probe.
    ///
    /// # Errors
    /// When weir's own cost cannot be read.
    pub fn begin(&mut self, sink: &mut dyn FnMut(Input<'_>)) -> Result<Reading> {
        let (monotonic_ns, unix_ns) = now();
        let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        let machine = Arc::clone(&self.machine);
        sink(Input::Started(Started { monotonic_ns, unix_ns, kernel, version, machine }));
        for served in &self.probes.served {
            sink(Input::Probe(served.state.clone()));
        }
        let sockets = sockets(&self.read_counters()?);
        Ok(Reading { monotonic_ns, spent: self.cost.read(sink)?, sockets })
    }

    /// With the next reading, everything that holds is emitted again: a consumer has missed inputs.
    pub(crate) fn repeat(&mut self) {
        self.emitted.clear();
        self.identities.repeat();
        self.queues.iter_mut().for_each(QueueReader::repeat);
    }

    /// One reading of everything, closed by a tick. `settle` also ends idle rounds and moves gathered bytes.
    ///
    /// # Errors
    /// When a map or a file that was open cannot be read.
    pub fn read(&mut self, settle: bool, sink: &mut dyn FnMut(Input<'_>)) -> Result<Reading> {
        if settle {
            self.probes.settle()?;
        }
        if let Some(log) = &mut self.probes.log {
            log.flush();
        }
        let (monotonic_ns, unix_ns) = now();
        self.read_events(monotonic_ns, sink)?;
        self.new_edges = 0;
        self.new_slots.clear();
        self.read_edges(monotonic_ns, sink)?;
        if settle {
            self.identities.wait();
        }
        self.identities.tick(monotonic_ns, sink);
        if self.retired >= MANY_EDGES {
            // What was kept for that many edges is a few MiB, which the heap would not return by itself.
            self.retired = 0;
            release_heap();
        }
        if let Some(queues) = &mut self.queues {
            queues.read(sink);
        }
        if let Some(poller) = &mut self.poller {
            poller.tick(monotonic_ns, sink);
        }
        let counters = self.read_counters()?;
        sink(Input::Counters(counters));
        let spent = self.cost.read(sink)?;
        sink(Input::Tick { monotonic_ns, unix_ns });
        Ok(Reading { monotonic_ns, spent, sockets: sockets(&counters) })
    }

    /// Settings of the kernel half that may change while it runs.
    pub(crate) fn control(&mut self) -> &mut ControlMap {
        &mut self.probes.control
    }

    /// How long silent edges are kept, and whether new ones are allowed.
    pub(crate) fn retirement(&mut self) -> &mut Retirement {
        &mut self.retirement
    }

    /// Detaches a probe, or attaches it again.
    pub(crate) fn switch(&mut self, probe: ProbeName, on: bool) -> Result<()> {
        self.probes.switch(probe, on)
    }

    fn read_events(&mut self, now_ns: u64, sink: &mut dyn FnMut(Input<'_>)) -> Result<()> {
        while let Some(event) = self.ring.next() {
            match event {
                RingEvent::ConnectFailed(event) => sink(Input::ConnectFailed(event)),
                RingEvent::CgroupMade(made) => {
                    self.suppressed_wake_ups.cgroup_read(now_ns);
                    self.identities.cgroup_made(&made, now_ns);
                }
                RingEvent::NewEdge(slot) => {
                    self.suppressed_wake_ups.edge_read(now_ns);
                    self.new_edges = self.new_edges.wrapping_add(1);
                    self.new_slots.push(slot);
                    if self.memory.look_at(slot)? {
                        self.read_edge(slot, now_ns, sink)?;
                    }
                }
                RingEvent::DnsReply(reply) => self.identities.dns_reply(&reply),
            }
        }
        Ok(())
    }

    /// Servers' ends first: a client's record exists before its server's, so the engine never gets a server's end without
    /// the end of its client on this host.
    fn read_edges(&mut self, now_ns: u64, sink: &mut dyn FnMut(Input<'_>)) -> Result<()> {
        for servers in [true, false] {
            let mut slot = 0;
            while self.memory.may_hold(slot) {
                let live = self.memory.look_at(slot)?;
                if (live || slot < FIRST_SLOT) && self.memory.is_server(slot) == servers {
                    self.read_edge(slot, now_ns, sink)?;
                    if let Some(poller) = &mut self.poller {
                        poller.edge_seen(&self.scratch);
                    }
                }
                slot += 1;
            }
        }
        Ok(())
    }

    fn read_edge(&mut self, slot: u32, now_ns: u64, sink: &mut dyn FnMut(Input<'_>)) -> Result<()> {
        let index = slot as usize;
        if self.emitted.len() <= index {
            self.emitted.resize(index + 1, 0);
        }
        let fingerprint = self.memory.copy(slot, &mut self.scratch);
        if self.emitted[index] != fingerprint {
            sink(Input::Edge { slot, record: &self.scratch });
        }
        self.emitted[index] = fingerprint;
        if slot >= FIRST_SLOT {
            self.identities.edge_seen(slot, &self.scratch, now_ns, sink);
        }
        if self.retirement.watch(slot, &self.scratch, now_ns)? {
            sink(Input::Retired { slot });
            self.identities.edge_retired(slot);
            self.retired += 1;
            self.emitted[index] = 0;
        }
        Ok(())
    }

    /// Reads the ring, and names the ends of new edges, between two readings: a process may have ended by the next one.
    /// Returns when to read the ring again if the kernel half does not wake its reader before.
    ///
    /// # Errors
    /// When a map that was open cannot be read.
    pub fn read_ring(&mut self, sink: &mut dyn FnMut(Input<'_>)) -> Result<Option<Duration>> {
        let (now_ns, _) = now();
        // Edges that were new the last time: their first connection has its local port by now.
        for slot in std::mem::take(&mut self.new_slots) {
            if self.memory.look_at(slot)? {
                self.read_edge(slot, now_ns, sink)?;
            }
        }
        self.read_events(now_ns, sink)?;
        self.identities.tick(now_ns, sink);
        Ok(self.next_ring_read(now_ns))
    }

    fn next_ring_read(&self, now_ns: u64) -> Option<Duration> {
        let awaited = self.identities.due_ns().map(|due_ns| due_ns.max(now_ns + CGROUPS_QUIET_NS));
        let next_ns = self.suppressed_wake_ups.next_read_ns(now_ns).into_iter().chain(awaited).min()?;
        Some(Duration::from_nanos(next_ns - now_ns))
    }

    /// Whether so many edges are new since the last reading that those of ended processes should be retired now.
    pub fn is_crowded(&self) -> bool {
        self.new_edges >= MANY_EDGES
    }

    /// A descriptor that becomes readable when the kernel half wakes its reader.
    ///
    /// # Errors
    /// When the process has no descriptors left.
    pub fn ring_descriptor(&self) -> Result<OwnedFd> {
        self.ring.descriptor()
    }

    fn read_counters(&self) -> Result<[u64; N_COUNTERS as usize]> {
        let mut counters = [0; N_COUNTERS as usize];
        for (i, counter) in counters.iter_mut().enumerate() {
            *counter = self.counters.get(&(i as u32), 0).context("read the kernel half's counters")?;
        }
        Ok(counters)
    }
}

fn sockets(counters: &[u64; N_COUNTERS as usize]) -> u64 {
    counters[Counter::SocketsTracked as usize].saturating_sub(counters[Counter::SocketsReleased as usize])
}

/// Monotonic and wall clock, nanoseconds.
fn now() -> (u64, u64) {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (monotonic_ns(), u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX))
}
