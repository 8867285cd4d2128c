//! Retiring edges that have fallen silent, so that their slots serve new ones.
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
use weir_abi::{EdgeKey, EdgeRecord, FIRST_SLOT};

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
    /// Free slots kept from the kernel half, so that it makes no new edges; none while it may.
    withheld: Option<Vec<u32>>,
}

struct Watch {
    /// Changes whenever anything is counted.
    activity: u64,
    since_ns: u64,
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
        let watch = self.watched.entry(slot).or_insert(Watch { activity, since_ns: now_ns, resting: false });
        let held = record.attached != record.detached;
        if held || watch.activity != activity {
            // Somebody came in the last moment: its key is gone from the table, so it stays until they are done.
            *watch = Watch { activity, since_ns: now_ns, resting: watch.resting };
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
        if now_ns.saturating_sub(watch.since_ns) > self.silent_ns {
            match self.slots.remove(&Key(record.key)) {
                // Absent: it went when this slot began to rest, and somebody came in the last moment.
                Ok(()) | Err(MapError::KeyNotFound) => watch.resting = true,
                Err(_) => {} // still reachable: try again on the next tick
            }
        }
        Ok(false)
    }
}

fn activity(record: &EdgeRecord) -> u64 {
    let connects = record.connects.iter().fold(0u64, |sum, n| sum.wrapping_add(*n));
    connects.wrapping_add(record.attached).wrapping_add(record.in_flight).wrapping_add(record.latency.sum_ns)
}
