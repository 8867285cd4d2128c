//! Retires silent edges, so that their slots serve new ones: soon if a process has ended, as it cannot become active again, and
//! after a long silence otherwise. The engine keeps what they have counted.
//!
//! A slot may be reused only when nothing can write to it any more: no socket holds it, and its key has been removed from the
//! table, so no socket can get it. A processor may have looked the key up just before the removal: the slot rests for a tick and
//! is checked again.

use std::{collections::HashMap, time::Duration};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{Array, HashMap as BpfHashMap, MapData, MapError, Stack},
};
use rustix::{
    io::Errno,
    process::{Pid, test_kill_process},
};
use weir_abi::{EdgeKey, EdgeRecord, FIRST_SLOT};

/// How long an edge must have been silent until its processes are checked for having ended, and how often that is repeated.
/// Choices.
const ENDED_SILENCE_NS: u64 = 1_000_000_000;
const CHECK_SPACING_NS: u64 = 5_000_000_000;

/// Gives aya the layout facts it needs.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Key(EdgeKey);
// SAFETY: repr(C) integers without implicit padding (asserted in the ABI).
unsafe impl aya::Pod for Key {}

#[repr(transparent)]
#[derive(Clone, Copy)]
struct Record(EdgeRecord);
// SAFETY: as above.
unsafe impl aya::Pod for Record {}

/// Silence and activity of each slot.
pub(crate) struct Retirement {
    watched: HashMap<u32, Watch>,
    silent_ns: u64,
    slots: BpfHashMap<MapData, Key, u32>,
    free: Stack<MapData, u32>,
    records: Array<MapData, Record>,
    empty: Box<Record>,
    processes: Processes,
    /// Free slots taken from the kernel half, so that it makes no new edges; none while it may make them.
    withheld: Option<Vec<u32>>,
}

struct Watch {
    /// Changes whenever anything is counted.
    activity: u64,
    since_ns: u64,
    /// When its processes were last checked.
    checked_ns: u64,
    resting: bool,
}

impl Retirement {
    /// Takes the maps it needs. `EDGES` must have been mapped before. A silent edge without sockets is kept for `silence`, which
    /// must be longer than any window.
    pub(crate) fn new(ebpf: &mut Ebpf, silence: Duration) -> Result<Self> {
        let mut take =
            |name: &'static str| ebpf.take_map(name).with_context(|| format!("the object has no map {name}"));
        Ok(Self {
            watched: HashMap::new(),
            silent_ns: u64::try_from(silence.as_nanos()).unwrap_or(u64::MAX),
            slots: BpfHashMap::try_from(take("EDGE_SLOTS")?)?,
            free: Stack::try_from(take("FREE_SLOTS")?)?,
            records: Array::try_from(take("EDGES")?)?,
            empty: Box::new(Record(EdgeRecord::EMPTY)),
            processes: Processes::new(),
            withheld: None,
        })
    }

    /// Keeps silent edges for this long from now on.
    pub(crate) fn keep_for(&mut self, silence: Duration) {
        self.silent_ns = u64::try_from(silence.as_nanos()).unwrap_or(u64::MAX);
    }

    /// Takes all free slots from the kernel half, or gives them back: without one, a new edge is counted in `other`.
    pub(crate) fn allow_new_edges(&mut self, allow: bool) -> Result<()> {
        match (allow, self.withheld.take()) {
            (true, Some(mut slots)) => {
                // The lowest on top, so that slots in use stay together.
                slots.sort_unstable_by(|a, b| b.cmp(a));
                for slot in slots {
                    self.free.push(slot, 0).context("give the free slots back")?;
                }
            }
            (false, None) => {
                let mut slots = Vec::new();
                while let Ok(slot) = self.free.pop(0) {
                    slots.push(slot);
                }
                self.withheld = Some(slots);
            }
            (_, withheld) => self.withheld = withheld,
        }
        Ok(())
    }

    /// Checks a live slot; true when it has just been retired.
    pub(crate) fn watch(&mut self, slot: u32, record: &EdgeRecord, now_ns: u64) -> Result<bool> {
        if slot < FIRST_SLOT {
            return Ok(false);
        }
        let activity = activity(record);
        let first = Watch { activity, since_ns: now_ns, checked_ns: 0, resting: false };
        let watch = self.watched.entry(slot).or_insert(first);
        let held = record.attached != record.detached;
        if held || watch.activity != activity {
            // If it rests, a socket got the slot just before its key was removed: it rests until that socket is done.
            *watch = Watch { activity, since_ns: now_ns, checked_ns: 0, resting: watch.resting };
            return Ok(false);
        }
        if watch.resting {
            self.watched.remove(&slot);
            self.records.set(slot, *self.empty, 0).context("clear a retired edge")?;
            match &mut self.withheld {
                Some(slots) => slots.push(slot),
                None => self.free.push(slot, 0).context("return a retired slot")?,
            }
            return Ok(true);
        }
        let silence = now_ns.saturating_sub(watch.since_ns);
        let check = silence >= ENDED_SILENCE_NS && now_ns.saturating_sub(watch.checked_ns) >= CHECK_SPACING_NS;
        if check {
            watch.checked_ns = now_ns;
        }
        if silence > self.silent_ns || (check && self.processes.ended(&record.key)) {
            match self.slots.remove(&Key(record.key)) {
                // Absent: it was removed when the slot first began to rest, and a socket had got the slot just before.
                Ok(()) | Err(MapError::KeyNotFound) => watch.resting = true,
                Err(_) => {} // still in the table: try again on the next tick
            }
        }
        Ok(false)
    }
}

/// Checks whether processes have ended.
struct Processes {
    /// weir is in the initial pid namespace, whose ids the records have; in another one they mean nothing.
    same_ids: bool,
}

impl Processes {
    fn new() -> Self {
        /// `PROC_PID_INIT_INO`
        const INITIAL: u64 = 0xEFFF_FFFC;
        let same_ids = rustix::fs::stat("/proc/self/ns/pid").is_ok_and(|stat| stat.st_ino == INITIAL);
        Self { same_ids }
    }

    /// Whether one of the edge's processes has ended: one call of some 300 ns each. If another process has reused the id, the edge
    /// is kept as if the first still ran.
    fn ended(&self, key: &EdgeKey) -> bool {
        let gone = |id: u32| {
            let pid = i32::try_from(id).ok().and_then(Pid::from_raw);
            pid.is_some_and(|pid| test_kill_process(pid) == Err(Errno::SRCH))
        };
        self.same_ids && (gone(key.tgid) || (key.peer_tgid != 0 && gone(key.peer_tgid)))
    }
}

fn activity(record: &EdgeRecord) -> u64 {
    let connects = record.connects.iter().fold(0u64, |sum, n| sum.wrapping_add(*n));
    connects.wrapping_add(record.attached).wrapping_add(record.in_flight).wrapping_add(record.latency.sum_ns)
}
