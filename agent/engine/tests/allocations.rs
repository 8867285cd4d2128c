//! A tick that brings nothing new must not allocate: weir runs for months beside what it observes.

use weir_abi::{ConnectFailed, EdgeKey, EdgeRecord, FIRST_SLOT, N_COUNTERS, ROLE_CLIENT, SLOT_LIVE};
use weir_engine::{AgentCost, Engine, Input, ProgramCost, Schedule, WindowId};

const EDGES: u32 = 1_000;
const S: u64 = 1_000_000_000;

fn key(tgid: u32) -> EdgeKey {
    EdgeKey { tgid, role: ROLE_CLIENT, ..EdgeKey::default() }
}

/// All that one tick can bring, everything known from the tick before.
fn tick(engine: &mut Engine, program: &ProgramCost, second: u64) {
    let mut record = EdgeRecord { state: SLOT_LIVE, in_flight: second, ..EdgeRecord::EMPTY };
    for slot in FIRST_SLOT..FIRST_SLOT + EDGES {
        record.key = key(slot);
        engine.take(Input::Edge { slot, record: &record });
    }
    let (at_ns, after_ns) = (second * S, 1);
    let failed =
        ConnectFailed { at_ns, after_ns, key: key(FIRST_SLOT), outcome: 1, errno: 111, syn_retransmits: 0, _pad: 0 };
    engine.take(Input::ConnectFailed(failed));
    engine.take(Input::Counters([second; N_COUNTERS as usize]));
    engine.take(Input::Program(program.clone()));
    engine.take(Input::Agent(AgentCost { cpu_ns: second, rss_bytes: 1, map_bytes: 1 }));
    engine.take(Input::Tick { monotonic_ns: second * S, unix_ns: second * S });
}

/// Allocations of twenty ticks, after ten that bring everything into being.
fn allocations(window: Schedule) -> u64 {
    let mut engine = Engine::new([window]);
    let program = ProgramCost { name: "sock_send_length".into(), runs: Some((1, 2)), recursion_misses: 0 };
    (1..=10).for_each(|second| tick(&mut engine, &program, second));
    let measured = allocation_counter::measure(|| (11..=30).for_each(|second| tick(&mut engine, &program, second)));
    assert_eq!(engine.snapshot(WindowId::FIRST).edges.len(), EDGES as usize);
    measured.count_total
}

#[test]
fn a_steady_tick_allocates_nothing() {
    assert_eq!(allocations(Schedule::Whole), 0);
}

/// A mark shares the records; the first change of each after a mark copies it: two pieces of memory.
#[test]
fn a_sliding_window_allocates_only_after_its_marks() {
    let marks = 20 / 3 + 1;
    let allocated = allocations(Schedule::Sliding { span_ns: 3 * S });
    assert!(allocated <= marks * u64::from(EDGES) * 2, "{allocated}");
}
