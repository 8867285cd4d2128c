//! What the decisions remember of an edge that is well.

use weir_abi::{EdgeKey, EdgeRecord, FIRST_SLOT, ROLE_CLIENT, SLOT_LIVE};
use weir_engine::{Engine, Input, Schedule, Started, WindowId};
use weir_signals::{Decider, Learning};

const EDGES: u32 = 1_000;
const S: u64 = 1_000_000_000;

fn key(tgid: u32) -> EdgeKey {
    EdgeKey { tgid, role: ROLE_CLIENT, ..EdgeKey::default() }
}

/// What the decision engine remembers of edges that are well: names, baselines of calls, of hung requests and of the pool, no alarm.
#[test]
fn an_edge_that_is_well_takes_less_than_three_kilobytes() {
    let mut engine = Engine::new([Schedule::Tumbling { span_ns: 5 * S }]);
    engine.take(Input::Started(Started::default()));
    let mut decider = Decider::new(Learning::of(0));
    let mut record = EdgeRecord { state: SLOT_LIVE, opened: 4, ..EdgeRecord::EMPTY };
    let measured = allocation_counter::measure(|| {
        for window in 1..=100u64 {
            (record.connects[0], record.latency.buckets[20]) = (30 * window, 30 * window as u32);
            for slot in FIRST_SLOT..FIRST_SLOT + EDGES {
                record.key = EdgeKey {
                    address: [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, (slot >> 8) as u8, slot as u8],
                    port: 80,
                    ..key(slot)
                };
                engine.take(Input::Edge { slot, record: &record });
            }
            engine.take(Input::Tick { monotonic_ns: 5 * window * S, unix_ns: 5 * window * S });
            decider.window(5 * window * S, &engine.snapshot(WindowId::FIRST));
        }
        engine = Engine::new([Schedule::Tumbling { span_ns: 5 * S }]);
    });
    let each = measured.bytes_current / i64::from(EDGES);
    assert!((300..3072).contains(&each), "{each} bytes an edge");
}
