//! The accept queues of listening ports.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{HashMap, MapData},
};
use weir_abi::{AcceptQueue, ListeningPort};
use weir_engine::Input;

/// Gives aya the layout facts it needs.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Plain<T>(T);

// SAFETY: repr(C) with explicit padding and plain integers.
unsafe impl aya::Pod for Plain<ListeningPort> {}
// SAFETY: likewise.
unsafe impl aya::Pod for Plain<AcceptQueue> {}

/// Reads the kernel half's `ACCEPT_QUEUES`.
pub(super) struct QueueReader {
    map: HashMap<MapData, Plain<ListeningPort>, Plain<AcceptQueue>>,
    /// Counters of each queue as last emitted: an unchanged one is not emitted again.
    emitted: BTreeMap<ListeningPort, (u64, u64)>,
}

impl QueueReader {
    /// Takes the map of a loaded object.
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self> {
        let map = ebpf.take_map("ACCEPT_QUEUES").context("the object has no map ACCEPT_QUEUES")?;
        Ok(Self { map: HashMap::try_from(map)?, emitted: BTreeMap::new() })
    }

    /// All queues are emitted again with the next reading.
    pub(super) fn repeat(&mut self) {
        self.emitted.clear();
    }

    /// Emits the queues that have changed. One that is made or removed during the reading may be emitted with the next tick.
    pub(super) fn read(&mut self, sink: &mut dyn FnMut(Input<'_>)) {
        let mut seen = BTreeMap::new();
        for (Plain(at), Plain(queue)) in self.map.iter().flatten() {
            let moved = (queue.enqueued, queue.wait.sum_ns);
            if moved != (0, 0) && self.emitted.get(&at) != Some(&moved) {
                sink(Input::AcceptQueue { at, queue: &queue });
            }
            seen.insert(at, moved);
        }
        self.emitted = seen;
    }
}
