use weir_abi::{
    ConnectOutcome, Counter, EdgeKey, InFlight, N_COUNTERS, OTHER_CLIENT, OTHER_SERVER_LOCAL, OTHER_SERVER_REMOTE,
    ROLE_CLIENT, ROLE_SERVER, SLOT_LIVE,
};
use weir_ebpf::histogram::index;

use super::*;
use crate::{
    LittlesLaw,
    snapshot::{Absent, Edge},
};

const S: u64 = 1_000_000_000;
const MS: u64 = 1_000_000;

fn v4(last: u8) -> [u8; 16] {
    [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 0, 0, last]
}

fn client(tgid: u32) -> EdgeRecord {
    let key = EdgeKey { tgid, netns: 1, role: ROLE_CLIENT, address: v4(2), port: 80, ..EdgeKey::default() };
    let mut record = EdgeRecord { key, state: SLOT_LIVE, local_address: v4(1), ..EdgeRecord::EMPTY };
    record.comm[..4].copy_from_slice(b"curl");
    record
}

/// A worker that serves `client(peer)`; with peer 0, one whose client is elsewhere.
fn server(tgid: u32, peer: u32) -> EdgeRecord {
    let address = if peer == 0 { v4(9) } else { v4(2) };
    let key = EdgeKey {
        tgid,
        peer_tgid: peer,
        netns: 1,
        role: ROLE_SERVER,
        address,
        port: 80,
        listen_port: 80,
        ..EdgeKey::default()
    };
    EdgeRecord { key, state: SLOT_LIVE, local_address: v4(2), peer_netns: u32::from(peer != 0), ..EdgeRecord::EMPTY }
}

/// `n` answered rounds of `ns` each, the books balanced.
fn answer(record: &mut EdgeRecord, n: u32, ns: u64) {
    record.latency.buckets[index(ns)] += n;
    record.latency.sum_ns += u64::from(n) * ns;
}

fn connect(record: &mut EdgeRecord, n: u64) {
    record.connects[ConnectOutcome::Ok as usize] += n;
    record.opened += n;
}

struct Told(Engine);

impl Told {
    fn new(window: Schedule) -> Self {
        let mut engine = Engine::new([window]);
        engine.take(Input::Started(Started { monotonic_ns: 10 * S, unix_ns: S, ..Started::default() }));
        Self(engine)
    }

    fn edge(&mut self, slot: u32, record: &EdgeRecord) -> &mut Self {
        self.0.take(Input::Edge { slot, record });
        self
    }

    fn tick(&mut self, s: u64) -> &mut Self {
        self.0.take(Input::Tick { monotonic_ns: 10 * S + s * S, unix_ns: S + s * S });
        self
    }
}

#[test]
fn nothing_told_nothing_said() {
    let snapshot = Told::new(Schedule::Whole).tick(5).0.snapshot(WindowId::FIRST);
    assert_eq!(snapshot.window_ns, 5 * S);
    assert!(snapshot.edges.is_empty() && snapshot.losses.none());
}

#[test]
fn both_ends_become_one_edge_with_two_views() {
    let (mut c, mut a, mut b) = (client(7), server(20, 7), server(21, 7));
    connect(&mut c, 3);
    answer(&mut c, 30, 4 * MS);
    connect(&mut a, 1);
    answer(&mut a, 10, MS);
    connect(&mut b, 2);
    answer(&mut b, 20, MS);
    let edges =
        Told::new(Schedule::Whole).edge(11, &c).edge(12, &a).edge(13, &b).tick(10).0.snapshot(WindowId::FIRST).edges;
    let [edge] = &edges[..] else { panic!("one edge, not {}", edges.len()) };
    let pids: Vec<u32> = edge.server_processes.iter().map(|s| s.process.pid).collect();
    assert_eq!(pids, [21, 20], "busiest first");
    assert_eq!(edge.server.process.as_ref().map(|p| p.pid), Ok(21));
    assert_eq!(edge.client_view.as_ref().map(|v| v.rounds), Ok(30));
    assert_eq!(edge.server_view.as_ref().map(|v| (v.rounds, v.connects.ok())), Ok((30, 3)));
}

#[test]
fn a_remote_client_is_an_address_and_a_reason() {
    let mut s = server(20, 0);
    connect(&mut s, 1);
    let edges = Told::new(Schedule::Whole).edge(11, &s).tick(1).0.snapshot(WindowId::FIRST).edges;
    assert_eq!(edges[0].client.process, Err(Absent::NotOnThisHost));
    assert_eq!(edges[0].client.address.map(|a| a.to_string()).as_deref(), Some("10.0.0.9"));
    assert_eq!(edges[0].client_view.as_ref().err(), Some(&Absent::NotOnThisHost));
    assert_eq!(edges[0].server.port, Some(80));
}

#[test]
fn the_same_addresses_in_two_namespaces_stay_apart() {
    let (mut c1, mut s1) = (client(7), server(20, 7));
    let (mut c2, mut s2) = (client(8), server(21, 8));
    c2.key.netns = 2;
    s2.key.netns = 2;
    s2.peer_netns = 2;
    for record in [&mut c1, &mut s1, &mut c2, &mut s2] {
        connect(record, 1);
    }
    let edges = Told::new(Schedule::Whole)
        .edge(11, &c1)
        .edge(12, &s1)
        .edge(13, &c2)
        .edge(14, &s2)
        .tick(1)
        .0
        .snapshot(WindowId::FIRST)
        .edges;
    let pairs: Vec<_> = edges
        .iter()
        .map(|e| (e.client.process.as_ref().map(|p| p.pid), e.server.process.as_ref().map(|p| p.pid)))
        .collect();
    assert_eq!(pairs, [(Ok(7), Ok(20)), (Ok(8), Ok(21))]);
}

#[test]
fn silent_edges_are_not_shown() {
    let mut c = client(7);
    c.attached = 1;
    assert!(Told::new(Schedule::Whole).edge(11, &c).tick(1).0.snapshot(WindowId::FIRST).edges.is_empty());
}

#[test]
fn the_other_edge_comes_last_and_says_so() {
    let mut other = EdgeRecord::EMPTY;
    other.connects[0] = 5;
    let mut c = client(7);
    connect(&mut c, 1);
    let edges =
        Told::new(Schedule::Whole).edge(OTHER_CLIENT, &other).edge(11, &c).tick(1).0.snapshot(WindowId::FIRST).edges;
    assert!(!edges[0].is_other && edges[1].is_other);
    assert_eq!(edges[1].client.process, Err(Absent::ManyInOne));
}

#[test]
fn other_counts_a_local_connection_once() {
    let mut ends = [EdgeRecord::EMPTY; 3];
    for (end, n) in ends.iter_mut().zip([5, 4, 2]) {
        end.connects[0] = n;
    }
    let mut told = Told::new(Schedule::Whole);
    told.edge(OTHER_CLIENT, &ends[0]).edge(OTHER_SERVER_LOCAL, &ends[1]).edge(OTHER_SERVER_REMOTE, &ends[2]);
    let edges = told.tick(1).0.snapshot(WindowId::FIRST).edges;
    let mut told_local = Told::new(Schedule::Whole);
    let only_local = told_local.edge(OTHER_SERVER_LOCAL, &ends[1]).tick(1).0.snapshot(WindowId::FIRST).edges;
    assert_eq!(only_local[0].client_view.as_ref().map(|v| v.connects.ok()), Ok(0), "their clients' edges have them");
    let accepted = |view: &Result<crate::View, Absent>| view.as_ref().map(|v| v.connects.ok()).ok();
    let views: Vec<_> = edges.iter().map(|e| (accepted(&e.client_view), accepted(&e.server_view))).collect();
    assert_eq!(views, [(Some(5), Some(4)), (None, Some(2))]);
}

#[test]
fn a_sliding_window_forgets() {
    let mut told = Told::new(Schedule::Sliding { span_ns: 5 * S });
    let mut c = client(7);
    connect(&mut c, 1);
    answer(&mut c, 10, MS);
    told.edge(11, &c);
    for s in 1..=5 {
        told.tick(s);
    }
    assert_eq!(told.0.snapshot(WindowId::FIRST).edges[0].client_view.as_ref().map(|v| v.rounds), Ok(10));
    answer(&mut c, 7, MS);
    told.edge(11, &c);
    for s in 6..=10 {
        told.tick(s);
    }
    let snapshot = told.0.snapshot(WindowId::FIRST);
    assert_eq!(snapshot.window_ns, 5 * S);
    let view = snapshot.edges[0].client_view.as_ref().expect("client");
    assert_eq!((view.rounds, view.connects.ok(), view.open_connections), (7, 0, 1));
}

#[test]
fn closed_windows_follow_without_gap_or_overlap() {
    let mut told = Told::new(Schedule::Whole);
    let mut c = client(7);
    let mut seen = Vec::new();
    for s in 1..=3 {
        connect(&mut c, s);
        let snapshot = told.edge(11, &c).tick(s).0.snapshot(WindowId::FIRST);
        let connects = snapshot.edges[0].client_view.as_ref().map(|v| v.connects.ok());
        seen.push((snapshot.window_ns, connects.ok()));
        told.0.close_windows();
    }
    assert_eq!(seen, [(S, Some(1)), (S, Some(2)), (S, Some(3))]);
}

#[test]
fn an_answer_to_a_request_older_than_the_window_breaks_nothing() {
    let mut told = Told::new(Schedule::Whole);
    let mut c = client(7);
    connect(&mut c, 1);
    c.in_flight = InFlight::of(10 * S);
    told.edge(11, &c).tick(60).0.close_windows();
    // It is answered 61 s after it began; fast ones beside it.
    c.latency.buckets[index(61 * S)] += 1;
    c.latency.sum_ns += 61 * S;
    c.in_flight = 0;
    answer(&mut c, 50, MS);
    let snapshot = told.edge(11, &c).tick(65).0.snapshot(WindowId::FIRST);
    let view = snapshot.edges[0].client_view.as_ref().expect("client");
    assert_eq!(view.littles_law(snapshot.window_ns), LittlesLaw::CutByWindow);
}

#[test]
fn a_reused_slot_starts_from_nothing_and_what_was_in_it_is_kept() {
    let mut told = Told::new(Schedule::Sliding { span_ns: 5 * S });
    let mut old = client(7);
    connect(&mut old, 100);
    told.edge(11, &old).tick(5).0.take(Input::Retired { slot: 11 });
    let mut new = client(8);
    connect(&mut new, 1);
    let snapshot = told.edge(11, &new).tick(6).0.snapshot(WindowId::FIRST);
    let connects = |edge: &Edge| edge.client_view.as_ref().ok().map(|v| v.connects.ok());
    let of = |pid: Option<u32>| snapshot.edges.iter().find(|e| e.client.process.as_ref().ok().map(|p| p.pid) == pid);
    assert_eq!(of(Some(8)).map(connects), Some(Some(1)));
    assert_eq!(of(None).map(connects), Some(Some(100)), "the one that ended");
    assert_eq!(snapshot.coverage.evicted_edges, 1);
    let services = snapshot.by_service(|_| true);
    assert_eq!(services.edges.len(), 1, "both are curl");
    assert_eq!(connects(&services.edges[0]), Some(101));
}

#[test]
fn littles_law_holds_for_balanced_books_and_breaks_for_lost_ends() {
    let mut c = client(7);
    connect(&mut c, 1);
    answer(&mut c, 1000, 5 * MS);
    let law = |record: &EdgeRecord| {
        let snapshot = Told::new(Schedule::Whole).edge(11, record).tick(10).0.snapshot(WindowId::FIRST);
        snapshot.edges[0].client_view.as_ref().map(|v| v.littles_law(snapshot.window_ns)).expect("client")
    };
    assert_eq!(law(&c), LittlesLaw::Holds { concurrency: 0.5 });
    // Answers whose start went missing.
    answer(&mut c, 500, 5 * MS);
    c.in_flight = InFlight::of(9 * S).wrapping_mul(500).wrapping_neg();
    assert!(matches!(law(&c), LittlesLaw::Broken { .. }));
    assert_eq!(law(&EdgeRecord { opened: 1, ..client(7) }), LittlesLaw::TooFew);
}

#[test]
fn a_request_in_flight_counts_from_its_start() {
    let mut c = client(7);
    connect(&mut c, 1);
    c.in_flight = InFlight::of(12 * S);
    let snapshot = Told::new(Schedule::Whole).edge(11, &c).tick(10).0.snapshot(WindowId::FIRST);
    let view = snapshot.edges[0].client_view.as_ref().expect("client");
    assert_eq!(view.in_flight, 1);
    assert!((8 * S..8 * S + 2 * MS).contains(&view.in_flight_ns), "{}", view.in_flight_ns);
    assert_eq!(view.in_flight_age_ns, view.in_flight_ns, "it has begun in the window");
}

#[test]
fn losses_are_of_the_window_and_by_name() {
    let mut told = Told::new(Schedule::Sliding { span_ns: 5 * S });
    let mut counters = [0; N_COUNTERS as usize];
    counters[Counter::RingFull as usize] = 3;
    told.0.take(Input::Counters(counters));
    assert_eq!(told.tick(1).0.snapshot(WindowId::FIRST).losses.named()[0], ("ring_full", 3));
    for s in 2..=10 {
        told.tick(s);
    }
    assert!(told.0.snapshot(WindowId::FIRST).losses.none());
}

#[test]
fn kernel_strings_cannot_drive_a_terminal() {
    let mut c = client(7);
    connect(&mut c, 1);
    c.comm = *b"\x1b[2Jevil\xff\0\0\0\0\0\0\0";
    let edges = Told::new(Schedule::Whole).edge(11, &c).tick(1).0.snapshot(WindowId::FIRST).edges;
    let name = edges[0].client.process.as_ref().map(|p| p.comm.clone()).expect("process");
    assert_eq!(name, "\u{fffd}[2Jevil\u{fffd}");
}

#[test]
fn a_window_knows_the_highest_step_in_it() {
    let mut told = Told::new(Schedule::Whole);
    let step = |cpu_step| Input::Degraded(crate::Degraded { cpu_step, ..crate::Degraded::default() });
    let steps = |told: &Told| {
        let degradation = told.0.snapshot(WindowId::FIRST).degradation;
        (degradation.now.cpu_step, degradation.worst_cpu_step, degradation.estimated())
    };
    told.0.take(step(0));
    assert_eq!(steps(told.tick(1)), (0, 0, false));
    told.0.take(step(3));
    told.tick(2).0.take(step(1));
    assert_eq!(steps(&told), (1, 3, true));
    told.0.close_windows();
    assert_eq!(steps(told.tick(3)), (1, 1, false), "what ended with the last window is not in this one");
}

#[test]
fn the_agents_own_start_is_not_in_the_window() {
    let mut told = Told::new(Schedule::Whole);
    told.0.take(Input::Agent(AgentCost { cpu_ns: 200 * MS, ..AgentCost::default() }));
    told.0.take(Input::Agent(AgentCost { cpu_ns: 201 * MS, ..AgentCost::default() }));
    assert_eq!(told.tick(1).0.snapshot(WindowId::FIRST).cost.agent_cpu_ns, MS);
}
