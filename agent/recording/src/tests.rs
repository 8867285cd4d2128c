use std::{io::Write as _, sync::Arc};

use proptest::prelude::*;
use weir_abi::{ConnectFailed, EdgeKey, EdgeRecord};
use weir_engine::{AgentCost, Degraded, Engine, Machine, ProbeState, ProgramCost, Schedule, Started, WindowId};

use super::*;

struct Scratch(std::path::PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("weir-recording-{}-{name}", std::process::id())))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn a_record() -> Box<EdgeRecord> {
    let mut record = Box::new(EdgeRecord::EMPTY);
    record.key = EdgeKey { tgid: 7, port: 80, role: 1, address: [9; 16], ..EdgeKey::default() };
    record.state = weir_abi::SLOT_LIVE;
    record.comm[..4].copy_from_slice(b"curl");
    record.connects = [3, 1, 0, 0, 0, 0, 0, 2];
    record.in_flight = u64::MAX - 5;
    record.latency.sum_ns = 12;
    record.latency.buckets[3] = 4;
    record
}

fn inputs(record: &EdgeRecord) -> Vec<Input<'_>> {
    vec![
        Input::Started(Started {
            monotonic_ns: 5,
            unix_ns: 6,
            kernel: "6.18".into(),
            version: "0.1.0".into(),
            machine: Machine { host: Some("db-1".into()), node: None, boot_id: Some("8d6f".into()) }.into(),
        }),
        Input::Probe(ProbeState { name: "x".into(), missing: Some("no".into()), provides: "y".into() }),
        Input::Edge { slot: 1, record },
        Input::Counters([4; weir_abi::N_COUNTERS as usize]),
        Input::Program(ProgramCost { name: "x".into(), runs: Some((1, 2)), recursion_misses: 3 }),
        Input::Agent(AgentCost { cpu_ns: 1, rss_bytes: 2, map_bytes: 3 }),
        Input::Degraded(Degraded {
            cpu_step: 3,
            cpu_budget_ppm: Some(10_000),
            cpu_ppm: Some(20_000),
            ..Degraded::default()
        }),
        Input::Tick { monotonic_ns: 1_000_000_005, unix_ns: 1_000_000_006 },
    ]
}

fn recorded(path: &Path) -> Vec<u8> {
    let record = a_record();
    let mut recorder = Recorder::create(path).expect("create");
    for input in inputs(&record) {
        recorder.write(&input).expect("write");
    }
    recorder.finish().expect("finish");
    std::fs::read(path).expect("read")
}

fn play_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    File::create(path).expect("create").write_all(bytes).expect("write");
    play(path, &mut |_| {})
}

#[test]
fn recorded_inputs_are_played_back() {
    let scratch = Scratch::new("roundtrip");
    recorded(&scratch.0);
    let record = a_record();
    let mut direct = Engine::new([Schedule::Whole]);
    let mut expected = inputs(&record).into_iter();
    for input in inputs(&record) {
        direct.take(input);
    }
    let mut again = Engine::new([Schedule::Whole]);
    play(&scratch.0, &mut |input| {
        assert_eq!(Some(&input), expected.next().as_ref());
        again.take(input);
    })
    .expect("play");
    assert_eq!(expected.next(), None);
    assert_eq!(again.snapshot(WindowId::FIRST), direct.snapshot(WindowId::FIRST));
}

/// If writing allocated, it would be at least once a line.
#[test]
fn recording_a_line_allocates_nothing() {
    let scratch = Scratch::new("allocations");
    let record = a_record();
    let inputs = inputs(&record);
    let mut recorder = Recorder::create(&scratch.0).expect("create");
    let mut write = |times| (0..times).flat_map(|_| &inputs).for_each(|input| recorder.write(input).expect("write"));
    write(200);
    assert_eq!(allocation_counter::measure(|| write(1_000)).count_total, 0);
}

#[test]
fn the_longest_line_fits_its_buffer() {
    let mut record = Box::new(EdgeRecord::EMPTY);
    // SAFETY: integers without padding, as the ABI asserts: any bits are a valid record.
    unsafe { std::ptr::from_mut(&mut *record).write_bytes(0xff, 1) };
    let line = serde_json::to_vec(&Line::from(&Input::Edge { slot: u32::MAX, record: &record })).expect("encode");
    assert!(line.len() < LONGEST_WRITTEN, "{} bytes", line.len());
}

/// Lines that weir 0.1 wrote are read with their meaning. New kinds of lines or fields do not belong in this file.
#[test]
fn the_first_format_is_read_for_ever() {
    let record = a_record();
    let mut expected = inputs(&record);
    let mut counters = [0; weir_abi::N_COUNTERS as usize];
    counters[..13].fill(4);
    expected[3] = Input::Counters(counters);
    // It named no machine.
    if let Input::Started(started) = &mut expected[0] {
        started.machine = Arc::default();
    }
    expected.push(Input::Retired { slot: 4 });
    let (key, outcome, errno, syn_retransmits) = (record.key, 3, 4, 5);
    let failed = ConnectFailed { at_ns: 1, after_ns: 2, key, outcome, errno, syn_retransmits, _pad: 0 };
    expected.push(Input::ConnectFailed(failed));
    let mut expected = expected.iter();
    for line in include_str!("format-1.jsonl").lines() {
        let line: Line<'_> = serde_json::from_str(line).expect(line);
        line.emit(&mut |input| assert_eq!(Some(&input), expected.next()));
    }
    assert_eq!(expected.next(), None);
}

#[test]
fn foreign_files_are_named_as_such() {
    let scratch = Scratch::new("foreign");
    for (bytes, message) in [
        (&b""[..], "is empty"),
        (&b"hello, world"[..], "no weir recording"),
        (&b"\x1f\x8b\x08\x00"[..], "no weir recording"),
        (&LZ4_MAGIC[..], "cut off"),
    ] {
        let error = format!("{:#}", play_bytes(&scratch.0, bytes).expect_err("foreign"));
        assert!(error.contains(message), "{error}");
    }
    let mut other = FrameEncoder::new(Vec::new());
    other.write_all(b"{\"some\":\"json\"}\n").expect("write");
    let error = play_bytes(&scratch.0, &other.finish().expect("finish")).expect_err("foreign");
    assert!(error.to_string().contains("no weir recording"), "{error}");
}

#[test]
fn a_newer_format_is_refused() {
    let scratch = Scratch::new("newer");
    let mut recorder = Recorder::create(&scratch.0).expect("create");
    recorder.file.0 = FrameEncoder::new(BufWriter::new(File::create(&scratch.0).expect("create")));
    recorder.put(&Line::Header(Header::of_version(VERSION + 1))).expect("write");
    recorder.finish().expect("finish");
    let error = format!("{:#}", play(&scratch.0, &mut |_| {}).expect_err("newer"));
    assert!(error.contains("newer weir"), "{error}");
}

#[test]
fn every_truncation_is_an_error() {
    let scratch = Scratch::new("truncated");
    let whole = recorded(&scratch.0);
    for length in 0..whole.len() {
        assert!(play_bytes(&scratch.0, &whole[..length]).is_err(), "cut at {length} of {}", whole.len());
    }
}

proptest! {
    #[test]
    fn damage_never_panics(at: prop::sample::Index, value: u8) {
        let scratch = Scratch::new(&format!("damage-{value}-{}", at.index(1 << 20)));
        let mut bytes = recorded(&scratch.0);
        let i = at.index(bytes.len());
        bytes[i] = value;
        let _ = play_bytes(&scratch.0, &bytes);
    }
}
