//! The hardest end of weir: nothing of it stays in the kernel, and the traffic does not notice.
//!
//! Alone: lists all programs, maps and links of the kernel.

use std::{collections::BTreeSet, thread::sleep, time::Duration};

use serde_json::Value;
use weir_tests::{Weir, lab, machine::enough, probes, process::run, wait_until};

/// Programs, maps and links that the kernel holds.
fn in_the_kernel() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for kind in ["prog", "map", "link"] {
        let list: Value = serde_json::from_str(&run("bpftool", &["-j", kind, "show"])).expect("JSON from bpftool");
        for object in list.as_array().expect("a list") {
            found.insert(format!("{kind} {} {}", object["id"], object["name"]));
        }
    }
    found
}

fn pins() -> usize {
    let entries = std::fs::read_dir("/sys/fs/bpf");
    entries.map_or(0, Iterator::count)
}

/// Ends weir by `end` under traffic.
fn leaves_nothing(end: impl FnOnce(Weir)) {
    let lab = lab!();
    let (before, pinned) = (in_the_kernel(), pins());
    let server = lab.serve("echo", "127.0.0.1:0");
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    client.must("open 2", "opened 2");
    let weir = lab.weir(&[]);
    let during = in_the_kernel();
    assert!(during.len() >= before.len() + probes::served(), "the probes are not to be seen: {during:?}");
    client.tell(&format!("rounds {} 100", enough(40_000)));
    sleep(Duration::from_millis(300));
    end(weir);
    assert_eq!(client.answer(), "done", "every byte came back");
    client.must("rounds 100 100", "done");
    // The kernel frees objects without holders a moment later; those of an earlier test may have gone meanwhile, too.
    wait_until(Duration::from_secs(5), "the kernel to free what weir held", || in_the_kernel().is_subset(&before));
    assert_eq!(pins(), pinned);
}

#[test]
fn kill_leaves_nothing() {
    leaves_nothing(Weir::kill9);
}

#[test]
fn ctrl_c_leaves_nothing() {
    leaves_nothing(|weir| drop(weir.finish()));
}
