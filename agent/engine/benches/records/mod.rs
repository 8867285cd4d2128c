//! What the benches of the engine and of the signals read: the records of so many edges.

use weir_abi::{EdgeKey, EdgeRecord, FIRST_SLOT, ROLE_CLIENT, SLOT_LIVE};
use weir_engine::{Engine, Input};

pub(crate) const EDGES: u32 = 5_000;

/// An edge that has seen something of everything.
pub(crate) fn record(key: EdgeKey) -> EdgeRecord {
    let mut record = EdgeRecord { key, state: SLOT_LIVE, peer_netns: 1, opened: 1, ..EdgeRecord::EMPTY };
    record.comm[..4].copy_from_slice(b"curl");
    record.connects[0] = 1;
    record.in_flight = 100;
    for histogram in [&mut record.latency, &mut record.full_latency_correction, &mut record.receive_queue_wait] {
        histogram.sum_ns = 1_000_000;
        histogram.buckets[20..30].fill(10);
    }
    record
}

/// `n` processes that call one service.
pub(crate) fn clients(n: u32) -> Vec<EdgeRecord> {
    let key = |tgid| EdgeKey { tgid, netns: 1, role: ROLE_CLIENT, address: [9; 16], port: 80, ..EdgeKey::default() };
    (1..=n).map(|tgid| record(key(tgid))).collect()
}

/// A tick's records, and the tick.
pub(crate) fn take(engine: &mut Engine, records: &[EdgeRecord], at_ns: u64) {
    for (slot, record) in (FIRST_SLOT..).zip(records) {
        engine.take(Input::Edge { slot, record });
    }
    engine.take(Input::Tick { monotonic_ns: at_ns, unix_ns: at_ns });
}
