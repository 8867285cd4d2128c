//! A whole tick of the agent on this kernel, from the maps to the engine and a recording, allocates nothing once it
//! knows the edges: weir's memory does not move while it watches.
//!
//! Alone: connections of others would be new edges.

use std::{
    collections::HashSet,
    io::{Read as _, Write as _},
    net::{Ipv4Addr, TcpListener, TcpStream},
    time::Duration,
};

use allocation_counter::measure;
use weir_agent::{Limits, Probes, Reader, Trial};
use weir_engine::{Engine, Input, Schedule};
use weir_names::kubernetes::{Config, Mode};
use weir_recording::Recorder;

const CONNECTIONS: usize = 200;
const TICKS: usize = 20;

/// Connections to as many ports: each is an edge at its client's end and one at its server's.
fn connections() -> Vec<(TcpStream, TcpStream)> {
    let connect = |_| {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("listen");
        let client = TcpStream::connect(listener.local_addr().expect("an address")).expect("connect");
        (client, listener.accept().expect("accept").0)
    };
    (0..CONNECTIONS).map(connect).collect()
}

/// A round on each, so that every edge has something to tell.
fn rounds(connections: &[(TcpStream, TcpStream)]) {
    for (client, server) in connections {
        for (mut from, mut to) in [(client, server), (server, client)] {
            from.write_all(&[1]).expect("send");
            to.read_exact(&mut [0]).expect("receive");
        }
    }
}

/// What one tick emitted, and what it cost.
struct Tick {
    allocations: u64,
    edges: usize,
    /// It emitted an edge or a failure for the first time: others use this kernel too.
    news: bool,
}

struct Agent {
    reader: Reader,
    engine: Engine,
    recorder: Recorder,
    seen: HashSet<u32>,
}

impl Agent {
    fn tick(&mut self, settle: bool) -> Tick {
        let Self { reader, engine, recorder, seen } = self;
        let (mut edges, mut news) = (0, false);
        let allocations = measure(|| {
            let told = reader.read(settle, &mut |input| {
                // Its own books are the test's, not the agent's.
                allocation_counter::opt_out(|| match &input {
                    Input::Edge { slot, .. } => {
                        edges += 1;
                        news |= seen.insert(*slot);
                    }
                    Input::ConnectFailed(_) | Input::Retired { .. } => news = true,
                    _ => {}
                });
                recorder.write(&input).expect("record");
                engine.take(input);
            });
            told.expect("a tick");
        });
        Tick { allocations: allocations.count_total, edges, news }
    }
}

#[test]
#[ignore = "loads the probes, which needs root: cargo xtask test runs it"]
fn a_steady_tick_allocates_nothing() {
    let path = std::env::temp_dir().join(format!("weir-steady-{}.rec", std::process::id()));
    let recorder = Recorder::create(&path).expect("create a recording");
    // The open recording needs no name.
    std::fs::remove_file(&path).expect("unlink the recording");
    let limits = Limits { edges: 4096, sockets: 4096, ..Limits::default() };
    let probes = Probes::start(limits, Trial::default()).expect("start the probes");
    let cluster = Config { mode: Mode::Off, ..Config::default() };
    let reader = Reader::new(probes, limits, Duration::from_secs(3600), false, &cluster).expect("a reader");
    let mut agent = Agent { reader, engine: Engine::new([Schedule::Whole]), recorder, seen: HashSet::new() };
    agent
        .reader
        .begin(&mut |input| {
            agent.engine.take(input);
        })
        .expect("begin");

    let connections = connections();
    for _ in 0..3 {
        rounds(&connections);
        agent.tick(true);
    }
    for settle in [false, true] {
        let mut steady = Vec::new();
        for _ in 0..TICKS {
            rounds(&connections);
            let tick = agent.tick(settle);
            assert!(tick.edges >= 2 * CONNECTIONS, "{} edges emitted, of {CONNECTIONS} connections", tick.edges);
            if !tick.news {
                steady.push(tick.allocations);
            }
        }
        assert!(steady.len() >= TICKS / 2, "only {} of {TICKS} ticks brought nothing new", steady.len());
        println!("settle: {settle}; allocations of {} ticks: {steady:?}", steady.len());
        // An edge that reaches more buckets than ever before needs more memory, once.
        let (most, quiet) = (steady.iter().max(), steady.iter().filter(|n| **n == 0).count());
        assert!(most <= Some(&4) && quiet * 4 >= steady.len() * 3, "allocations with settle {settle}: {steady:?}");
    }
}
