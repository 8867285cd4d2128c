//! Retiring edges that have fallen silent, so that their slots serve new ones: soon where a process has ended, as nothing
//! can come of them any more, and after a long silence otherwise. The engine keeps what they have counted.
//!
//! A slot may be given away only when nothing can write to it any more: no socket holds it, and its key is gone from
//! the table, so none can come to hold it. A processor may have looked the key up just before it went: the slot rests
//! for a tick and is looked at again.

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

/// How long the edge of an ended process must have been silent, and how often it is asked whether it has ended.
const ENDED_SILENCE_NS: u64 = 1_000_000_000;
const ASK_SPACING_NS: u64 = 5_000_000_000;

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

/// What is known of each slot's quietness.
pub(crate) struct Retirement {
    watched: HashMap<u32, Watch>,
    silent_ns: u64,
    slots: BpfHashMap<MapData, Key, u32>,
    free: Stack<MapData, u32>,
    records: Array<MapData, Record>,
    nothing: Box<Record>,
    processes: Processes,
    /// Free slots kept from the kernel half, so that it makes no new edges; none while it may.
    withheld: Option<Vec<u32>>,
}

struct Watch {
    /// Changes whenever anything is counted.
    activity: u64,
    since_ns: u64,
    /// When it was last asked whether its processes have ended.
    asked_ns: u64,
    resting: bool,
}

impl Retirement {
    /// Takes the maps it needs. `EDGES` must have been mapped before. A silent edge without sockets is kept for
    /// `silence`, which must be longer than any window that will ask for it.
    pub(crate) fn new(ebpf: &mut Ebpf, silence: Duration) -> Result<Self> {
        let mut take =
            |name: &'static str| ebpf.take_map(name).with_context(|| format!("the object has no map {name}"));
        Ok(Self {
            watched: HashMap::new(),
            silent_ns: u64::try_from(silence.as_nanos()).unwrap_or(u64::MAX),
            slots: BpfHashMap::try_from(take("EDGE_SLOTS")?)?,
            free: Stack::try_from(take("FREE_SLOTS")?)?,
            records: Array::try_from(take("EDGES")?)?,
            nothing: Box::new(Record(EdgeRecord::EMPTY)),
            processes: Processes::new(),
            withheld: None,
        })
    }

    /// Keeps silent edges for another time from now on.
    pub(crate) fn keep_for(&mut self, silence: Duration) {
        self.silent_ns = u64::try_from(silence.as_nanos()).unwrap_or(u64::MAX);
    }

    /// Takes all free slots from the kernel half, or gives them back: without one, a new edge is counted in `other`.
    pub(crate) fn allow_new_edges(&mut self, allow: bool) -> Result<()> {
        match (allow, self.withheld.take()) {
            (true, Some(mut slots)) => {
                // The lowest on top: slots in use stay together.
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

    /// Looks at a live slot; true when it has just been retired.
    pub(crate) fn watch(&mut self, slot: u32, record: &EdgeRecord, now_ns: u64) -> Result<bool> {
        if slot < FIRST_SLOT {
            return Ok(false);
        }
        let activity = activity(record);
        let first = Watch { activity, since_ns: now_ns, asked_ns: 0, resting: false };
        let watch = self.watched.entry(slot).or_insert(first);
        let held = record.attached != record.detached;
        if held || watch.activity != activity {
            // Somebody came in the last moment: its key is gone from the table, so it stays until they are done.
            *watch = Watch { activity, since_ns: now_ns, asked_ns: 0, resting: watch.resting };
            return Ok(false);
        }
        if watch.resting {
            self.watched.remove(&slot);
            self.records.set(slot, *self.nothing, 0).context("clear a retired edge")?;
            match &mut self.withheld {
                Some(slots) => slots.push(slot),
                None => self.free.push(slot, 0).context("return a retired slot")?,
            }
            return Ok(true);
        }
        let silence = now_ns.saturating_sub(watch.since_ns);
        let ask = silence >= ENDED_SILENCE_NS && now_ns.saturating_sub(watch.asked_ns) >= ASK_SPACING_NS;
        if ask {
            watch.asked_ns = now_ns;
        }
        if silence > self.silent_ns || (ask && self.processes.ended(&record.key)) {
            match self.slots.remove(&Key(record.key)) {
                // Absent: it went when this slot began to rest, and somebody came in the last moment.
                Ok(()) | Err(MapError::KeyNotFound) => watch.resting = true,
                Err(_) => {} // still reachable: try again on the next tick
            }
        }
        Ok(false)
    }
}

/// Knows which processes are there.
struct Processes {
    /// Ids in the records are of the initial pid namespace; in another one they say nothing.
    same_ids: bool,
}

impl Processes {
    fn new() -> Self {
        /// `PROC_PID_INIT_INO`
        const INITIAL: u64 = 0xEFFF_FFFC;
        let same_ids = rustix::fs::stat("/proc/self/ns/pid").is_ok_and(|stat| stat.st_ino == INITIAL);
        Self { same_ids }
    }

    /// Whether one of the edge's processes has ended: one call of some 300 ns each. A process that took over its id keeps
    /// the edge as if it still ran.
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
