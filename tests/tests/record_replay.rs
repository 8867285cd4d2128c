//! Recordings: replayed they say the same, byte for byte; anything else is refused in plain words.

use std::{fs, path::Path, process::Output};

use weir_tests::{Document, Lab, Weir, lab, weir};

fn replay(path: &Path) -> Output {
    weir::run(&["replay", path.to_str().expect("a path in UTF-8"), "-o", "json"])
}

/// Records some traffic and returns what was printed meanwhile.
fn record(lab: &Lab, path: &Path) -> String {
    let server = lab.serve("echo", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    client.must("open 2", "opened 2");
    let path = path.to_str().expect("a path in UTF-8");
    let weir = Weir::start_as(&["record", path, "-o", "json", "--for", "300s"]);
    client.must("short 50", "done");
    client.must("rounds 5 100", "done");
    client.must(&format!("to 127.0.0.1:{}", weir_tests::lab::free_port()), "done");
    client.must("open 3", "opened 0 111:3");
    // Several readings of the maps, so that the file holds more than one.
    std::thread::sleep(std::time::Duration::from_millis(2200));
    client.must("close", "done");
    let printed = weir.finish_raw();
    let document = Document::parse(&printed);
    let edge = document.edge(client.pid(), server.port());
    edge.assert_connects(&[("ok", 50)]);
    assert_eq!(edge.count("rounds"), 60);
    printed
}

/// Asserts that weir refuses the file and says why.
fn refused(path: &Path, what: &str) {
    let output = replay(path);
    let errors = String::from_utf8_lossy(&output.stderr);
    let code = output.status.code().unwrap_or_else(|| panic!("{what}: weir died of {}: {errors}", output.status));
    assert_ne!(code, 0, "{what} was taken for a recording");
    assert!(!errors.contains("panicked"), "{what}: {errors}");
    assert!(errors.starts_with("weir: ") && errors.lines().count() == 1, "{what}: not one plain line: {errors}");
    let name = path.file_name().expect("a name").to_string_lossy();
    assert!(errors.contains(&*name), "{what}: the message does not name the file: {errors}");
    assert!(output.stdout.is_empty(), "{what}: half a document");
}

#[test]
fn a_replay_prints_the_same_bytes() {
    let lab = lab!();
    let path = lab.path("traffic.weir");
    let printed = record(&lab, &path);
    for _ in 0..2 {
        let output = replay(&path);
        assert!(output.status.success(), "{output:?}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), printed);
    }
}

#[test]
fn truncated_and_damaged_recordings_are_refused() {
    let lab = lab!();
    let path = lab.path("traffic.weir");
    record(&lab, &path);
    let whole = fs::read(&path).expect("read the recording");
    let damaged = lab.path("damaged.weir");
    let last = whole.len() - 1;
    for length in [1, 3, 4, 7, 11, 16, 20, 64, 100, whole.len() / 3, whole.len() / 2, last - 8, last - 3, last] {
        fs::write(&damaged, &whole[..length]).expect("write a truncated recording");
        refused(&damaged, &format!("a recording cut to {length} of {} bytes", whole.len()));
    }
    for at in [0, 5, 6, whole.len() / 4, whole.len() / 2, whole.len() - 2] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x55;
        fs::write(&damaged, &bytes).expect("write a damaged recording");
        refused(&damaged, &format!("a recording with a wrong byte at {at}"));
    }
    fs::write(&damaged, [&whole[..], b"more"].concat()).expect("write an extended recording");
    refused(&damaged, "a recording with something behind it");
}

#[test]
fn what_is_no_recording_is_refused() {
    let lab = lab!();
    let noise: Vec<u8> = (0..10_000u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let files: [(&str, &[u8]); 5] = [
        ("empty", b""),
        ("text", b"this is no recording\n"),
        ("zeroes", &[0; 4096]),
        ("noise", &noise),
        ("json", b"{\"edges\": []}\n"),
    ];
    for (name, bytes) in files {
        let path = lab.path(name);
        fs::write(&path, bytes).expect("write a foreign file");
        refused(&path, name);
    }
    refused(&weir::binary(), "an executable");
    refused(&lab.path("missing"), "a missing file");
    refused(&lab.path(""), "a directory");
}
