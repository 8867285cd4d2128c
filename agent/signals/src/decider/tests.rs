use weir_abi::{EdgeKey, EdgeRecord, FIRST_SLOT, ROLE_CLIENT, SLOT_LIVE};

use super::*;
use crate::incident::incidents::MAX_INCIDENTS;
use weir_engine::{Engine, Input, Window as Span};

const S: u64 = 1_000_000_000;

fn record(tgid: u32) -> EdgeRecord {
    let address = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, (tgid >> 8) as u8, tgid as u8];
    let key = EdgeKey { tgid, netns: 1, role: ROLE_CLIENT, address, port: 80, ..EdgeKey::default() };
    let mut record = EdgeRecord { key, state: SLOT_LIVE, process_start_ns: 3 * S, ..EdgeRecord::EMPTY };
    record.comm[..4].copy_from_slice(b"curl");
    record
}

/// What they cost is in `benches/engine.rs`.
#[test]
fn of_five_thousand_failing_edges_as_many_are_told_apart_as_anybody_reads() {
    let mut engine = Engine::new(Span::Whole);
    let mut decider = Decider::new(Learning::of(30 * S));
    let mut records: Vec<EdgeRecord> = (0..5000).map(record).collect();
    for window in 1..=12u64 {
        for (slot, record) in (FIRST_SLOT..).zip(&mut records) {
            record.connects[if window < 8 { 0 } else { 1 }] += 30;
            engine.take(Input::Edge { slot, record });
        }
        engine.take(Input::Tick { monotonic_ns: 5 * window * S, unix_ns: 5 * window * S });
        decider.window(5 * window * S, &engine.snapshot());
        engine.close_window();
    }
    let incidents = decider.incidents();
    assert_eq!(incidents.firing().count(), MAX_INCIDENTS);
    assert_eq!(incidents.lost().incidents_over_limit, 5000 - MAX_INCIDENTS as u64);
    assert_eq!(decider.subjects_over_limit(), 0);
}
