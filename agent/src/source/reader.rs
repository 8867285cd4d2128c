//! From maps and ring to engine inputs. User space pays per edge and per tick, never per request.

mod cost;
mod edges;
mod queues;
mod retire;
mod ring;

use std::{
    os::fd::OwnedFd,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result};
use aya::maps::{Array, MapData};
use weir_abi::{Counter, EdgeRecord, FIRST_SLOT, N_COUNTERS, ProbeName};
use weir_engine::{Input, Started};
use weir_names::{Identities, kubernetes};

use crate::{
    memory::release_heap,
    probe::{control::ControlMap, load::Limits, serve::Probes},
    source::{clock::monotonic_ns, poll::Poller},
};
use cost::CostReader;
pub use cost::Spent;
pub(crate) use cost::stats_enabled;
pub use edges::EdgeMemory;
use queues::QueueReader;
use retire::Retirement;
use ring::{Heard, Ring};

/// The kernel half does not ring for another edge within 150 ms, nor for another cgroup within 20: the ring is listened to
/// again this long after it told of one.
const AFTER_AN_EDGE_NS: u64 = 200_000_000;
const AFTER_A_CGROUP_NS: u64 = 25_000_000;
/// New edges that make a reading due before its time: an eighth of the slots there are by default.
const CROWD: u32 = 512;

/// Reads everything the kernel half has to say.
pub struct Reader {
    probes: Probes,
    memory: EdgeMemory,
    scratch: Box<EdgeRecord>,
    retirement: Retirement,
    /// Fingerprint of each slot as last told: an edge that did nothing is not told again.
    told: Vec<u64>,
    ring: Ring,
    identities: Identities,
    /// Edges heard of since the last reading.
    new_edges: u32,
    /// Their slots, since the ring was last heard.
    fresh: Vec<u32>,
    /// Until when there may be edges, and cgroups, of which the ring did not ring.
    unrung_until_ns: [u64; 2],
    /// Edges retired since the heap was last given back.
    retired: u32,
    counters: Array<MapData, u64>,
    cost: CostReader,
    /// Where what the kernel does not tell by itself is wanted.
    poller: Option<Poller>,
    /// Where accept queues are watched.
    queues: Option<QueueReader>,
}

/// When a reading was made, and what weir had used by then.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reading {
    /// Monotonic clock.
    pub monotonic_ns: u64,
    /// By the agent, its programs and its maps.
    pub spent: Spent,
    /// Sockets that have a record.
    pub sockets: u64,
}

impl Reader {
    /// Takes over running probes. `silence`: how long a silent edge is kept. `counts_runs`: the kernel counts and times program runs at our request.
    ///
    /// # Errors
    /// When the kernel half's maps, or what procfs says of weir itself, cannot be opened.
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
            told: Vec::new(),
            ring,
            identities: Identities::new(cluster, unix_ns.wrapping_sub(monotonic_ns)),
            new_edges: 0,
            fresh: Vec::new(),
            unrung_until_ns: [0; 2],
            retired: 0,
            counters: Array::try_from(counters)?,
            cost,
            poller: None,
            queues,
        })
    }

    /// Also asks, from the beginning on, for what the kernel does not tell by itself.
    pub(crate) fn poll(&mut self) {
        self.poller.get_or_insert_with(|| Poller::start(now().0));
    }

    /// The stream's first inputs: where and when, and what runs.
    ///
    /// # Errors
    /// When weir's own cost cannot be read.
    pub fn begin(&mut self, sink: &mut dyn FnMut(Input<'_>)) -> Result<Reading> {
        let (monotonic_ns, unix_ns) = now();
        let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        sink(Input::Started(Started { monotonic_ns, unix_ns, kernel, version }));
        for served in &self.probes.served {
            sink(Input::Probe(served.state.clone()));
        }
        let sockets = sockets(&self.read_counters()?);
        Ok(Reading { monotonic_ns, spent: self.cost.read(sink)?, sockets })
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
        self.fresh.clear();
        self.read_edges(monotonic_ns, sink)?;
        if settle {
            self.identities.wait();
        }
        self.identities.tick(monotonic_ns, sink);
        if self.retired >= CROWD {
            // A crowd has gone: what was known of it is a few MiB that the heap would keep.
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

    /// What may be changed in the kernel half while it runs.
    pub(crate) fn control(&mut self) -> &mut ControlMap {
        &mut self.probes.control
    }

    /// What becomes of silent edges, and of new ones.
    pub(crate) fn retirement(&mut self) -> &mut Retirement {
        &mut self.retirement
    }

    /// Detaches a probe, or attaches it again.
    pub(crate) fn switch(&mut self, probe: ProbeName, on: bool) -> Result<()> {
        self.probes.switch(probe, on)
    }

    fn read_events(&mut self, now_ns: u64, sink: &mut dyn FnMut(Input<'_>)) -> Result<()> {
        let [edges_until_ns, cgroups_until_ns] = [now_ns + AFTER_AN_EDGE_NS, now_ns + AFTER_A_CGROUP_NS];
        while let Some(heard) = self.ring.next() {
            match heard {
                Heard::ConnectFailed(event) => sink(Input::ConnectFailed(event)),
                Heard::CgroupMade(made) => {
                    self.unrung_until_ns[1] = cgroups_until_ns;
                    self.identities.cgroup_made(&made, now_ns);
                }
                Heard::NewEdge(slot) => {
                    self.unrung_until_ns[0] = edges_until_ns;
                    self.new_edges = self.new_edges.wrapping_add(1);
                    self.fresh.push(slot);
                    if self.memory.look_at(slot)? {
                        self.read_edge(slot, now_ns, sink)?;
                    }
                }
                Heard::DnsReply(told) => self.identities.hear(&told),
            }
        }
        Ok(())
    }

    /// Servers' ends first: a client's record is there before its server's, so whoever serves somebody of this host is
    /// never told of without that client.
    fn read_edges(&mut self, now_ns: u64, sink: &mut dyn FnMut(Input<'_>)) -> Result<()> {
        for servers in [true, false] {
            let mut slot = 0;
            while self.memory.may_hold(slot) {
                let live = self.memory.look_at(slot)?;
                if (live || slot < FIRST_SLOT) && self.memory.is_server(slot) == servers {
                    self.read_edge(slot, now_ns, sink)?;
                    if let Some(poller) = &mut self.poller {
                        poller.meet(&self.scratch);
                    }
                }
                slot += 1;
            }
        }
        Ok(())
    }

    fn read_edge(&mut self, slot: u32, now_ns: u64, sink: &mut dyn FnMut(Input<'_>)) -> Result<()> {
        let index = slot as usize;
        if self.told.len() <= index {
            self.told.resize(index + 1, 0);
        }
        let fingerprint = self.memory.copy(slot, &mut self.scratch);
        if self.told[index] != fingerprint {
            sink(Input::Edge { slot, record: &self.scratch });
        }
        self.told[index] = fingerprint;
        if slot >= FIRST_SLOT {
            self.identities.meet(slot, &self.scratch, now_ns, sink);
        }
        if self.retirement.watch(slot, &self.scratch, now_ns)? {
            sink(Input::Retired { slot });
            self.identities.part(slot);
            self.retired += 1;
            self.told[index] = 0;
        }
        Ok(())
    }

    /// What the ring tells, and who the ends of new edges are, before the next reading: a process may be gone by then.
    /// Returns when to listen again, should the ring not ring before.
    ///
    /// # Errors
    /// When a map that was open cannot be read.
    pub fn hear(&mut self, sink: &mut dyn FnMut(Input<'_>)) -> Result<Option<Duration>> {
        let (now_ns, _) = now();
        // Those that were new the last time: their first connection has its port by now.
        for slot in std::mem::take(&mut self.fresh) {
            if self.memory.look_at(slot)? {
                self.read_edge(slot, now_ns, sink)?;
            }
        }
        self.read_events(now_ns, sink)?;
        self.identities.tick(now_ns, sink);
        Ok(self.listen_again_in(now_ns))
    }

    fn listen_again_in(&self, now_ns: u64) -> Option<Duration> {
        let unrung = self.unrung_until_ns.into_iter().filter(|until_ns| *until_ns > now_ns);
        let awaited = self.identities.due_ns().map(|due_ns| due_ns.max(now_ns + AFTER_A_CGROUP_NS));
        let next_ns = unrung.chain(awaited).min()?;
        Some(Duration::from_nanos(next_ns - now_ns))
    }

    /// Whether so many edges are new since the last reading that those of ended processes should be retired.
    pub fn is_crowded(&self) -> bool {
        self.new_edges >= CROWD
    }

    /// A descriptor that becomes readable when there is something to hear.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn bell(&self) -> Result<OwnedFd> {
        self.ring.bell()
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
