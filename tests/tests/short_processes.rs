//! Processes that live 20 ms and make one connection each: all of them are counted, under their name, and weir remembers
//! none of them once they are gone.
//!
//! Alone: processes that live 20 ms are named only by a weir that gets a processor in time; and its memory is measured.

use std::{
    fs,
    time::{Duration, Instant},
};

use serde_json::Value;
use weir_tests::{
    Document, Lab, Traffic, Weir, lab,
    machine::{enough, is_slow},
    netns::own_connections,
    process::{self, forget_peak, memory_bytes},
    wait_until,
};

const AT_ONCE: u32 = 8;
const LIFE_MS: u32 = 20;
/// What the allocator may add from wave to wave: it keeps what the first one made it fetch, and gives out other pieces of
/// it each time. Measured: 0.1 to 0.3 MiB a wave, and none after the eighth.
const SLACK: u64 = 1 << 20;
/// As with as many edges that live (`memory.rs`).
const MOST: u64 = 16 << 20;

struct Pond {
    server: Traffic,
    spawner: Traffic,
    program: String,
}

impl Pond {
    fn of(lab: &Lab) -> Self {
        let server =
            Traffic::of(std::process::Command::new(lab.helper_as("pond")).args(["serve", "echo", "127.0.0.1:0"]));
        let spawner = lab.client(&format!("127.0.0.1:{}", server.port()));
        let program = lab.helper_as("mayfly").to_str().expect("a path in UTF-8").to_owned();
        Self { server, spawner, program }
    }

    fn swarm(&mut self, n: u64) {
        let began = Instant::now();
        self.spawner.must(&format!("swarm {n} {AT_ONCE} {LIFE_MS} {}", self.program), &format!("swarmed {n}"));
        println!("{n} processes in {:.1} s", began.elapsed().as_secs_f64());
        let port = self.server.port();
        wait_until(Duration::from_secs(10), "the server to close", || own_connections(port) == 0);
    }

    /// Connects of all mayflies by outcome `ok`, at both ends, in these documents. No other client connects here.
    fn connects(&self, documents: &[Document]) -> [u64; 2] {
        let mut sums = [0; 2];
        for document in documents {
            for edge in document.edges_where(|edge| edge.port() == Some(self.server.port())) {
                assert_eq!(edge.text("client", "name"), "mayfly", "of {edge}");
                let clients = edge.seen_by("client").connects("ok");
                sums[0] += clients;
                match edge.view("server") {
                    Some(server) => {
                        assert_eq!(edge.text("server", "name"), "pond", "of {edge}");
                        sums[1] += server.connects("ok");
                    }
                    // Where a window ends between a connect and the server's first read, that one's server is not known
                    // in it. An emulated server may get to its first read of several only in the next window.
                    None => assert!(clients <= u64::from(AT_ONCE) * if is_slow() { 8 } else { 1 }, "no server: {edge}"),
                }
            }
        }
        sums
    }
}

#[test]
fn each_is_counted_under_its_name() {
    let processes = enough(2000);
    let lab = lab!();
    let mut pond = Pond::of(&lab);
    let weir = Weir::start_by_service(&[]);
    pond.swarm(processes);
    let document = weir.finish();
    let edge = document.only("to the pond", |edge| edge.port() == Some(pond.server.port()));
    edge.assert_connects(&[("ok", processes)]);
    edge.seen_by("server").assert_connects(&[("ok", processes)]);
    assert_eq!((edge.count("rounds"), edge.seen_by("server").count("rounds")), (processes, processes));
    assert_eq!((edge.text("client", "name"), edge.text("server", "name")), ("mayfly", "pond"));
    assert_eq!(edge.server_pids(), [pond.server.pid()]);
    document.assert_lossless();
}

/// Edges that the kernel half keeps for this weir.
fn edges_kept(weir: &Weir) -> usize {
    let descriptors = fs::read_dir(format!("/proc/{}/fdinfo", weir.pid())).expect("weir's descriptors");
    let map_id = |text: String| text.lines().find_map(|line| Some(line.strip_prefix("map_id:")?.trim().to_owned()));
    let ids = descriptors.flatten().filter_map(|file| map_id(fs::read_to_string(file.path()).ok()?));
    let json = |arguments: &[&str]| -> Value {
        serde_json::from_str(&process::run("bpftool", arguments)).expect("JSON from bpftool")
    };
    let mut edges = ids.filter(|id| json(&["-j", "map", "show", "id", id])["name"] == "EDGE_SLOTS");
    let id = edges.next().expect("weir's map of edges");
    json(&["-j", "map", "dump", "id", &id]).as_array().expect("a list of entries").len()
}

/// More processes than there are slots: those of the dead serve the living.
#[test]
fn none_is_remembered() {
    let processes = enough(2000);
    let lab = lab!();
    let mut pond = Pond::of(&lab);
    let weir = Weir::start_as(&["edges", "--every", "2s", "-o", "jsonl"]);
    let before = edges_kept(&weir);
    let mut memory = Vec::new();
    for wave in 1..=3 {
        forget_peak(weir.pid());
        pond.swarm(processes);
        // Others on this host may have come by.
        wait_until(Duration::from_secs(30), "the slots of the dead", || edges_kept(&weir) <= before + 20);
        // Not what is resident at one moment: the heap keeps 2.4 MiB of what a tick has freed until 512 edges are retired
        // (`MANY_EDGES`).
        memory.push(memory_bytes(weir.pid(), "VmHWM").expect("weir's memory"));
        println!(
            "wave {wave}: {} edges kept, {:.1} MiB resident at most",
            edges_kept(&weir),
            memory[wave - 1] as f64 / 1048576.0
        );
    }
    let lines = weir.finish_raw();
    let documents: Vec<Document> = lines.lines().map(Document::parse).collect();
    documents.iter().for_each(Document::assert_lossless);
    assert_eq!(pond.connects(&documents), [3 * processes; 2], "at the clients' ends, and at the server's");
    assert!(memory[2] <= memory[0] + SLACK && memory[2] < MOST, "most memory in each wave: {memory:?}");
}
