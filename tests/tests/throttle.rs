//! A server in a cgroup whose CPU limit is used up.

use std::{fs, time::Duration};

use weir_tests::{
    Weir,
    incidents::{DETECTED_WITHIN_S, assert_replays, assert_timely, events_of, for_a_while, text, unix_s},
    lab,
};

/// Where the hierarchy of version 1 with `cpu` is, as a rule.
const CPU: &str = "/sys/fs/cgroup/cpu";

/// A group with a limit; it goes away with the test, after its processes.
struct Limited(String);

impl Limited {
    fn to_a_fifth() -> Self {
        let path = format!("{CPU}/weir-t-{}", std::process::id());
        fs::create_dir(&path).unwrap_or_else(|error| panic!("create {path}: {error}"));
        for (name, value) in [("cpu.cfs_period_us", "100000"), ("cpu.cfs_quota_us", "20000")] {
            fs::write(format!("{path}/{name}"), value).unwrap_or_else(|error| panic!("{path}/{name}: {error}"));
        }
        Self(path)
    }

    fn take(&self, pid: u32) {
        fs::write(format!("{}/cgroup.procs", self.0), pid.to_string()).expect("move a process");
    }
}

impl Drop for Limited {
    fn drop(&mut self) {
        let _ = fs::remove_dir(&self.0);
    }
}

/// A server that turns to answering as fast as it can, with a fifth of a processor.
///
/// Alone: its server must get a processor up to its limit.
#[test]
fn a_limit_that_is_used_up() {
    if !fs::exists(format!("{CPU}/cpu.cfs_quota_us")).is_ok_and(|_| fs::exists(format!("{CPU}/tasks")).unwrap_or(false))
    {
        println!("skipped: no hierarchy of version 1 with cpu");
        return;
    }
    let lab = lab!("throttled");
    let limited = Limited::to_a_fifth();
    let server = lab.serve("echo", "127.0.0.1:0");
    limited.take(server.pid());
    let mut client = lab.client(&format!("127.0.0.1:{}", server.port()));
    client.must("open 4", "opened 4");
    let file = lab.path("throttle.weir");
    let file = file.to_str().expect("a path in UTF-8");
    let weir = Weir::start_as(&["signals", "-o", "jsonl", "--learn", "5s", "--record", file]);
    // Little to do: nothing to say.
    for_a_while(Duration::from_secs(16), || client.must("rounds 2 10", "done"));
    let fault_s = unix_s();
    for_a_while(Duration::from_secs(16), || client.must("rounds 2000 10", "done"));
    let printed = weir.finish_raw();
    let events = events_of(&printed, "cpu_throttled");
    let raised = events.first().expect("an incident");
    assert_timely(raised, fault_s, DETECTED_WITHIN_S);
    assert_eq!(text(raised, "server"), "throttled");
    assert!(text(raised, "what").contains("its CPU limit was used up"), "{raised}");
    assert!(text(raised, "where").contains(&format!("(pid {})", server.pid())), "{raised}");
    assert!(events.iter().all(|event| event["id"] == raised["id"]), "one incident: {printed}");
    assert_replays(file, &printed, &["--learn", "5s"]);
    drop(server);
}
