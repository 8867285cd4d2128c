//! The accept queues of listening ports, where they are watched.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{HashMap, MapData},
};
use weir_abi::{AcceptQueue, ListeningPort};
use weir_engine::Input;

/// Lets aya read it.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Plain<T>(T);

// SAFETY: repr(C) with explicit padding and plain integers.
unsafe impl aya::Pod for Plain<ListeningPort> {}
// SAFETY: likewise.
unsafe impl aya::Pod for Plain<AcceptQueue> {}

/// Reads them.
pub(super) struct QueueReader {
    map: HashMap<MapData, Plain<ListeningPort>, Plain<AcceptQueue>>,
    /// How far each had got when it was last told: one that did nothing is not told again.
    told: BTreeMap<ListeningPort, (u64, u64)>,
}

impl QueueReader {
    /// Over a loaded object.
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self> {
        let map = ebpf.take_map("ACCEPT_QUEUES").context("the object has no map ACCEPT_QUEUES")?;
        Ok(Self { map: HashMap::try_from(map)?, told: BTreeMap::new() })
    }

    /// All are news again.
    pub(super) fn repeat(&mut self) {
        self.told.clear();
    }

    /// Tells those that have moved. One that is made or closed meanwhile may be told with the next tick.
    pub(super) fn read(&mut self, sink: &mut dyn FnMut(Input<'_>)) {
        let mut seen = BTreeMap::new();
        for (Plain(at), Plain(queue)) in self.map.iter().flatten() {
            let moved = (queue.enqueued, queue.wait.sum_ns);
            if moved != (0, 0) && self.told.get(&at) != Some(&moved) {
                sink(Input::AcceptQueue { at, queue: &queue });
            }
            seen.insert(at, moved);
        }
        self.told = seen;
    }
}
