//! What weir waits for: nothing. A stall of weir itself moves no window, and an output that is not read holds up no reading.

use std::{
    fs::{self, File},
    io::Read as _,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use weir_tests::{
    Document, Traffic, Weir,
    incidents::{assert_replays, events_at, for_a_while, text},
    lab,
    process::{Process, memory_bytes},
    weir,
};

/// How long nothing is read.
const UNREAD: Duration = Duration::from_secs(60);
/// After Ctrl-C an output that is not read is given up after two seconds; the rest is for a busy machine.
const GIVEN_UP: Duration = Duration::from_secs(4);

/// weir is stopped for 4.8 seconds in the middle: windows close on the ticks that there were, and a replay has the same ticks.
#[test]
fn live_and_replay_agree_after_a_stall() {
    let lab = lab!("stalled");
    let server = lab.serve("echo", "127.0.0.1:0");
    let refused = weir_tests::lab::free_port();
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let file = lab.path("stall.weir");
    let file = file.to_str().expect("a path in UTF-8");
    let weir = Weir::start_as(&["signals", "-o", "jsonl", "--learn", "10s", "--record", file]);
    let calls = |client: &mut Traffic| {
        client.must(&format!("to 127.0.0.1:{refused}"), "done");
        client.must("open 10", "opened 0 111:10");
    };
    client.must("short 20", "done");
    sleep(Duration::from_millis(6400));
    calls(&mut client);
    weir.signal(libc::SIGSTOP);
    for_a_while(Duration::from_millis(4800), || calls(&mut client));
    weir.signal(libc::SIGCONT);
    for_a_while(Duration::from_secs(11), || calls(&mut client));
    let printed = weir.finish_raw();
    let events = events_at(&printed, "edge_errors", &format!("127.0.0.1:{refused}"));
    assert_eq!(text(events.first().expect("an incident"), "event"), "raised", "{printed}");
    assert_replays(file, &printed, &["--learn", "10s"]);
}

/// Resident memory in KiB.
fn resident(pid: u32) -> u64 {
    memory_bytes(pid, "VmRSS").expect("the status of weir") >> 10
}

/// For a minute a document is due each 200 ms, and no one reads them. With 64 edges other tests' edges take no memory.
#[test]
fn an_output_that_is_not_read_holds_up_nothing() {
    let lab = lab!();
    let server = lab.serve("echo", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let (recording, log) = (lab.path("unread.weir"), lab.path("unread.log"));
    let recording = recording.to_str().expect("a path in UTF-8");
    let mut command = Command::new(weir::binary());
    command
        .args(["edges", "--instances", "-o", "jsonl", "--every", "200ms", "--max-edges", "64"])
        .args(["--record", recording])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&log).expect("a file"));
    let mut weir = Process::start(&mut command);
    let said = || fs::read_to_string(&log).expect("what weir said");
    while !said().contains("weir: observing") {
        sleep(Duration::from_millis(20));
    }
    // Long enough for the pipe to be full, with 64 KiB of documents.
    let mut calls = || client.must("short 20", "done");
    for_a_while(Duration::from_secs(10), &mut calls);
    let (before, began) = (resident(weir.pid()), Instant::now());
    let mut rounds = 0u64;
    for_a_while(UNREAD - Duration::from_secs(10), || {
        calls();
        rounds += 1;
    });
    let after = resident(weir.pid());
    println!("{before} KiB, and after {:.0} s {after} KiB", began.elapsed().as_secs_f64());
    assert!(after < before + 1024, "{before} KiB grew to {after}");

    // Now they are read: the newest, and then those that come; what lies between is lost, and counted.
    let mut stdout = weir.pipes().stdout.take().expect("a pipe");
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        stdout.read_to_string(&mut text).map(|_| text)
    });
    sleep(Duration::from_secs(1));
    weir.signal(libc::SIGINT);
    let status = weir.wait(Duration::from_secs(10));
    let lines = reader.join().expect("the reader").expect("text");
    assert!(status.success(), "{status}: {}", said());
    let lost: u64 = said()
        .lines()
        .find_map(|line| line.strip_prefix("weir: standard output did not take ")?.split_once(' ')?.0.parse().ok())
        .expect("lost updates are counted");
    println!("{} lines were written, {lost} lost", lines.lines().count());
    assert!(lost > 100 && lines.lines().count() > 5, "{lost} lost");
    let replayed = weir::run(&["replay", recording, "--instances", "-o", "json"]);
    let document = Document::parse(&String::from_utf8_lossy(&replayed.stdout));
    let pid = client.pid();
    let connects = document.edge(pid, server.port()).connects("ok");
    assert!(
        connects >= 20 * rounds && connects.is_multiple_of(20),
        "{connects} connects of {rounds} times 20 and more"
    );
}

/// Ctrl-C ends weir although its output is not read, and weir says what was not written.
#[test]
fn an_output_that_is_never_read_is_given_up_after_ctrl_c() {
    let lab = lab!();
    let log = lab.path("never.log");
    let mut command = Command::new(weir::binary());
    command
        .args(["edges", "--instances", "-o", "jsonl", "--every", "50ms"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&log).expect("a file"));
    let mut weir = Process::start(&mut command);
    let said = || fs::read_to_string(&log).expect("what weir said");
    while !said().contains("weir: observing") {
        sleep(Duration::from_millis(20));
    }
    sleep(Duration::from_secs(8));
    let began = Instant::now();
    weir.signal(libc::SIGINT);
    let status = weir.wait(Duration::from_secs(20));
    let took = began.elapsed();
    assert!(took < weir_tests::machine::patient(GIVEN_UP), "{took:?}");
    assert_eq!(status.code(), Some(1), "{}", said());
    assert!(said().contains("not written: ") && said().contains(" updates of standard output"), "{}", said());
}
