//! From maps and ring to engine inputs. User space pays per edge and per tick, never per request.

mod cost;
mod edges;
mod retire;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result};
use aya::maps::{Array, MapData, RingBuf};
use rustix::time::{ClockId, clock_gettime};
use weir_abi::{ConnectFailed, EdgeRecord, FIRST_SLOT, N_COUNTERS};
use weir_engine::{Input, Started};

use crate::probe::load::{Limits, Probes};
use cost::CostReader;
pub(crate) use cost::stats_enabled;
pub use edges::EdgeMemory;
use retire::Retirement;

/// Reads everything the kernel half has to say.
pub struct Reader {
    probes: Probes,
    memory: EdgeMemory,
    scratch: Box<EdgeRecord>,
    retirement: Retirement,
    /// Fingerprint of each slot as last told: an edge that did nothing is not told again.
    told: Vec<u64>,
    events: RingBuf<MapData>,
    counters: Array<MapData, u64>,
    cost: CostReader,
}

impl Reader {
    /// Takes over running probes. `silence`: how long a silent edge is kept. `counts_runs`: the kernel counts and times program runs at our request.
    ///
    /// # Errors
    /// When the kernel half's maps, or what procfs says of weir itself, cannot be opened.
    pub fn new(mut probes: Probes, limits: Limits, silence: Duration, counts_runs: bool) -> Result<Self> {
        let memory = EdgeMemory::map(&probes.ebpf, limits.edges + FIRST_SLOT)?;
        let events = RingBuf::try_from(probes.ebpf.take_map("EVENTS").context("the object has no map EVENTS")?)?;
        let counters = probes.ebpf.take_map("COUNTERS").context("the object has no map COUNTERS")?;
        let cost = CostReader::new(&probes.ebpf, counts_runs)?;
        let retirement = Retirement::new(&mut probes.ebpf, silence)?;
        Ok(Self {
            probes,
            memory,
            scratch: Box::new(EdgeRecord::EMPTY),
            retirement,
            told: Vec::new(),
            events,
            counters: Array::try_from(counters)?,
            cost,
        })
    }

    /// The stream's first inputs: where and when, and what runs.
    ///
    /// # Errors
    /// When weir's own cost cannot be read.
    pub fn begin(&mut self, sink: &mut dyn FnMut(Input<'_>)) -> Result<()> {
        let (monotonic_ns, unix_ns) = now();
        let kernel = rustix::system::uname().release().to_string_lossy().into_owned();
        let version = env!("CARGO_PKG_VERSION").to_owned();
        sink(Input::Started(Started { monotonic_ns, unix_ns, kernel, version }));
        for state in &self.probes.states {
            sink(Input::Probe(state.clone()));
        }
        self.cost.read(sink)
    }

    /// One reading of everything, closed by a tick. `settle` also ends idle rounds and moves gathered bytes.
    ///
    /// # Errors
    /// When a map or a file that was open cannot be read.
    pub fn read(&mut self, settle: bool, sink: &mut dyn FnMut(Input<'_>)) -> Result<()> {
        if settle {
            self.probes.settle()?;
        }
        if let Some(log) = &mut self.probes.log {
            log.flush();
        }
        self.read_events(sink);
        let (monotonic_ns, unix_ns) = now();
        self.read_edges(monotonic_ns, sink)?;
        sink(Input::Counters(self.read_counters()?));
        self.cost.read(sink)?;
        sink(Input::Tick { monotonic_ns, unix_ns });
        Ok(())
    }

    fn read_events(&mut self, sink: &mut dyn FnMut(Input<'_>)) {
        while let Some(item) = self.events.next() {
            if item.len() == size_of::<ConnectFailed>() {
                // SAFETY: the length is right, and every bit pattern is a valid record of plain integers.
                let event: ConnectFailed = unsafe { std::ptr::read_unaligned(item.as_ptr().cast()) };
                sink(Input::ConnectFailed(event));
            }
        }
    }

    fn read_edges(&mut self, now_ns: u64, sink: &mut dyn FnMut(Input<'_>)) -> Result<()> {
        self.memory.look_for_new()?;
        self.told.resize(self.memory.in_use() as usize, 0);
        for slot in 0..self.memory.in_use() {
            if slot >= FIRST_SLOT && !self.memory.is_live(slot) {
                continue;
            }
            let fingerprint = self.memory.copy(slot, &mut self.scratch);
            if self.retirement.watch(slot, &self.scratch, now_ns)? {
                sink(Input::Retired { slot });
            } else if self.told[slot as usize] != fingerprint {
                sink(Input::Edge { slot, record: &self.scratch });
            }
            self.told[slot as usize] = fingerprint;
        }
        Ok(())
    }

    fn read_counters(&self) -> Result<[u64; N_COUNTERS as usize]> {
        let mut counters = [0; N_COUNTERS as usize];
        for (i, counter) in counters.iter_mut().enumerate() {
            *counter = self.counters.get(&(i as u32), 0).context("read the kernel half's counters")?;
        }
        Ok(counters)
    }
}

/// Monotonic and wall clock, nanoseconds.
fn now() -> (u64, u64) {
    let monotonic = clock_gettime(ClockId::Monotonic);
    let monotonic_ns = monotonic.tv_sec as u64 * 1_000_000_000 + monotonic.tv_nsec as u64;
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    (monotonic_ns, u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX))
}
