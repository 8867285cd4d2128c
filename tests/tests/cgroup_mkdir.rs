//! New cgroups: processes that end before anybody looks at them are named by the group that they were in.

use std::{process::Command, time::Duration};

use weir_tests::{
    Lab,
    cgroup::{Group, Hierarchy},
    lab, process,
};

/// In a cgroup's id: it is of version 1.
const OF_VERSION_1: u64 = 1 << 52;
/// More than weir has the time to look at one by one: it is woken once in 20 ms, each of them lives for 2.
const PROCESSES: usize = 20;

/// Each in a unit of its own that was made after weir began, each with one connection and then gone.
fn short_processes_in(lab: &Lab, hierarchy: &Hierarchy, mark: u64) {
    let server = lab.serve("echo", "127.0.0.1:0");
    let to = format!("127.0.0.1:{}", server.port());
    let weir = lab.weir(&[]);
    let unit = |at: usize| format!("weir-t-{at}.service");
    let run = |at: usize| -> (u32, Group) {
        let group = hierarchy.group(&format!("weir-t.slice/{}", unit(at)));
        let mut command = Command::new(lab.helper());
        command.args(["short", &to, "1"]);
        group.enter(&mut command);
        let mut process = process::Process::start(&mut command);
        assert!(process.wait(Duration::from_secs(10)).success());
        (process.pid(), group)
    };
    let processes = (0..PROCESSES).map(run).collect::<Vec<_>>();
    let document = weir.finish();
    for (at, (pid, group)) in processes.iter().enumerate() {
        let edge = document.edge(*pid, server.port());
        let client = &edge.value()["client"];
        assert_eq!(client["cgroup_id"].as_u64(), Some(group.id() | mark), "of {edge}");
        assert_eq!(edge.text("client", "kind"), "unit", "of {edge}");
        assert_eq!(edge.text("client", "unit"), unit(at), "of {edge}");
        assert_eq!(edge.text("client", "name"), format!("weir-t-{at}"), "of {edge}");
    }
    document.assert_lossless();
}

#[test]
fn in_version_2() {
    let lab = lab!();
    let hierarchy = Hierarchy::of_version_2(&lab);
    short_processes_in(&lab, &hierarchy, 0);
}

/// The processes are in version 2's root, as containers on a hybrid host.
#[test]
fn in_version_1() {
    let lab = lab!();
    let hierarchy = Hierarchy::of_version_1(&lab);
    short_processes_in(&lab, &hierarchy, OF_VERSION_1);
}
