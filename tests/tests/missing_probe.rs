//! A probe that the kernel refuses takes its own signal along, with the reason, and nothing else.

use std::{process::Command, time::Duration};

use serde_json::Value;
use weir_tests::{
    Document, Weir,
    forbidden::{forbid, hide},
    lab,
    machine::is_slow,
    probes::{PROBES, Probe},
    process, weir,
};

const DEADLINE: Duration = Duration::from_secs(60);

/// Ten rounds, and a connect that fails.
fn observe_without(probe: &Probe) -> (Document, u32, u16) {
    let lab = lab!();
    let server = lab.serve("echo", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let file = lab.path("refused.weir");
    let file = file.to_str().expect("a path in UTF-8");
    let refuse = ["--refuse-probe", probe.name];
    // A recording has accept queues, and so all probes.
    let weir = if probe.always {
        lab.weir(&refuse)
    } else {
        Weir::start_as(&[&["record", file, "--instances", "-o", "json", "--for", "300s"], &refuse[..]].concat())
    };
    client.must("open 2", "opened 2");
    client.must("rounds 5 100", "done");
    client.must("close", "done");
    (weir.finish(), client.pid(), server.port())
}

#[test]
fn its_fields_are_unknown_and_all_others_as_ever() {
    // Where each start takes seconds, those that take most along.
    let few = ["sk_data_ready", "sock_send_length"];
    let optional = PROBES.iter().filter(|probe| !probe.required);
    for probe in optional.filter(|probe| !is_slow() || few.contains(&probe.name)) {
        let (document, client, port) = observe_without(probe);
        let Probe { name: probe, unknown, .. } = *probe;
        let missing = document.value()["missing_probes"].as_array().expect("a list").as_slice();
        assert_eq!(missing.len(), 1, "{missing:?}");
        assert_eq!(missing[0]["name"], probe);
        let reason = missing[0]["reason"].as_str().expect("a reason");
        assert!(reason.contains("refused on purpose"), "{probe}: {reason}");
        assert!(missing[0]["unknown_without_it"].as_str().is_some_and(|text| !text.is_empty()));
        assert_eq!(document.value()["complete"], false, "without {probe}");

        let edge = document.edge(client, port);
        edge.assert_connects(&[("ok", 2)]);
        assert_eq!(edge.count("open_connections"), 0, "without {probe}");
        for (field, counted) in [("rounds", 10), ("bytes_sent", 1000), ("bytes_received", 1000)] {
            if !unknown.contains(&field) {
                assert_eq!(edge.value()[field], counted, "{field} without {probe}");
            }
        }
        for field in
            ["rounds", "latency_s", "service_s", "receive_queue_wait_s", "bytes_sent", "bytes_received", "resets"]
        {
            let (value, why) = (&edge.value()[field], &edge.value()[format!("{field}_reason")]);
            assert_eq!(value.is_null(), unknown.contains(&field), "{field} without {probe}: {value}, {why}");
            let is_named = why.as_str().is_some_and(|why| why.contains(probe));
            assert_eq!(is_named, unknown.contains(&field), "why there is no {field} without {probe}: {why}");
        }
    }
}

#[test]
fn without_one_that_it_needs_weir_does_not_start() {
    let required = PROBES.iter().filter(|probe| probe.required).map(|probe| probe.name);
    for probe in required.take(if is_slow() { 1 } else { PROBES.len() }) {
        let output = weir::run(&["edges", "--for", "1s", "--refuse-probe", probe]);
        assert_fails_plainly(&output, &[probe, "refused on purpose"]);
        if is_slow() {
            // Doctor judges by the same list; here it takes longer than all else.
            continue;
        }
        let output = weir::run(&["doctor", "-o", "json", "--refuse-probe", probe]);
        assert_eq!(output.status.code(), Some(2));
        let document: Value = serde_json::from_slice(&output.stdout).expect("a document");
        assert_eq!(document["can_run"], false);
    }
}

#[test]
fn the_table_says_so_too() {
    let lab = lab!();
    let server = lab.serve("echo", "127.0.0.1:0");
    let _client = lab.client(&format!("127.0.0.1:{}", server.port()));
    let output = weir::run(&["edges", "-o", "table", "--for", "1s", "--refuse-probe", "sk_data_ready"]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("without sk_data_ready: receive-queue wait unknown"), "{text}");
}

/// A machine that cannot run weir at all: one cause, one fix, exit code 2.
#[test]
fn a_kernel_without_types() {
    let hidden = |arguments: &[&str]| {
        process::output(hide(Command::new(weir::binary()).args(arguments), c"/sys/kernel/btf"), DEADLINE)
    };
    assert_fails_plainly(&hidden(&["edges", "--for", "1s"]), &["/sys/kernel/btf/vmlinux", "CONFIG_DEBUG_INFO_BTF"]);
    let output = hidden(&["doctor"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stdout).contains("CONFIG_DEBUG_INFO_BTF"));
}

#[test]
fn a_system_that_forbids_bpf() {
    let forbidden = |arguments: &[&str]| {
        process::output(forbid(Command::new(weir::binary()).args(arguments), libc::SYS_bpf), DEADLINE)
    };
    assert_fails_plainly(&forbidden(&["edges", "--for", "1s"]), &["bpf() is not permitted", "seccomp"]);
    let output = forbidden(&["doctor"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stdout).contains("bpf() is not permitted"));
}

fn assert_fails_plainly(output: &std::process::Output, says: &[&str]) {
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{text}");
    for part in says {
        assert!(text.contains(part), "{part:?} is not said: {text}");
    }
    assert!(!text.contains("panicked") && !text.contains("stack backtrace"), "{text}");
    assert!(text.lines().count() <= 4, "one cause, one fix: {text}");
}
