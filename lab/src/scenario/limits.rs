//! Limits of processes and of the machine: processor time, ports, files.

use anyhow::Result;

use super::{ANYWHERE, Place, Scenario, edge, may, must, on, to};
use crate::{group::Group, run::Run, stage::WEB, truth::Kind};

const TO_WEB: Place = to("web.py:8080");
const LOAD_TO_WEB: Place = edge("load.py", "web.py:8080");

pub(super) const ROWS: &[Scenario] = &[
    Scenario {
        name: "F14",
        title: "a server's cgroup may use a fifth of a processor",
        kind: Kind::Fault,
        edge: TO_WEB,
        must: &[must("cpu_throttled", on("web.py"), 20.0)],
        may: &[
            may("receive_queue", TO_WEB),
            may("accept_queue", TO_WEB),
            may("hung_request", LOAD_TO_WEB),
            may("cpu_wait", on("web.py")),
        ],
        must_not: &[may("pool_exhausted", ANYWHERE)],
        fault_s: 20,
        play: throttled,
    },
    Scenario {
        name: "F15",
        title: "another process uses all processors",
        kind: Kind::Fault,
        edge: TO_WEB,
        must: &[must("cpu_wait", on("web.py"), 20.0)],
        may: &[
            may("cpu_wait", ANYWHERE),
            may("receive_queue", ANYWHERE),
            // The clients get no processor either, and answers wait to be read.
            may("client_stall", ANYWHERE),
            may("accept_queue", TO_WEB),
        ],
        must_not: &[may("cpu_throttled", ANYWHERE)],
        fault_s: 20,
        play: noisy_neighbour,
    },
    Scenario {
        name: "F17",
        title: "short connections take all local ports",
        kind: Kind::Fault,
        edge: LOAD_TO_WEB,
        must: &[must("ports_exhausted", on("load.py"), 15.0)],
        may: &[],
        must_not: &[may("edge_errors", LOAD_TO_WEB)],
        fault_s: 20,
        play: no_ports,
    },
    Scenario {
        name: "F18",
        title: "a server may open no more files",
        kind: Kind::Fault,
        edge: TO_WEB,
        must: &[must("fds_exhausted", on("web.py"), 15.0)],
        may: &[
            may("accept_queue", TO_WEB),
            may("listen_overflow", TO_WEB),
            may("receive_queue", TO_WEB),
            may("edge_errors", LOAD_TO_WEB),
            may("hung_request", LOAD_TO_WEB),
        ],
        must_not: &[may("pool_exhausted", ANYWHERE)],
        fault_s: 20,
        play: no_files,
    },
];

/// It needs more than a quarter, so that requests wait.
fn throttled(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    let group = Group::new("web")?;
    let mut web = stage.app_in(&group, &stage.web, "web.py", &[WEB, "threads", "128"])?;
    web.must("set cpu 5", "done");
    let mut load = stage.clients(WEB)?;
    load.must("set think 80", "done");
    load.must("clients 6", "done");
    run.baseline()?;
    let mut limited = Ok(());
    run.fault(|_| limited = group.limit(Some(20)))?;
    limited?;
    let mut lifted = Ok(());
    run.recovery(|_| lifted = group.limit(None), &mut [("web", &mut web), ("load", &mut load)])?;
    lifted
}

/// The server's weight is a ninth of the total, on two processors, and it needs a third of one: more than it gets.
fn noisy_neighbour(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    let (ours, group) = (Group::new("web")?, Group::new("neighbour")?);
    ours.weigh(0.5)?;
    group.weigh(4.0)?;
    let mut web = stage.app_in(&ours, &stage.web, "web.py", &[WEB, "threads", "128"])?;
    web.must("set cpu 5", "done");
    let mut load = stage.clients(WEB)?;
    load.must("set think 80", "done");
    load.must("clients 6", "done");
    run.baseline()?;
    let mut neighbours = Vec::new();
    run.fault(|stage| neighbours.extend((0..4).map(|_| stage.busy_loop(&group))))?;
    let neighbours: Vec<_> = neighbours.into_iter().collect::<Result<_>>()?;
    run.recovery(|_| drop(neighbours), &mut [("web", &mut web), ("load", &mut load)])
}

/// The end that closes first keeps the port for a minute: here the client, with 64 ports.
fn no_ports(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    stage.load.set("net.ipv4.ip_local_port_range", "40000 40063");
    stage.load.set("net.ipv4.tcp_tw_reuse", "0");
    let mut web = stage.app(&stage.web, "web.py", &[WEB, "threads", "128"])?;
    let mut load = stage.clients(WEB)?;
    load.must("set rate 1", "done");
    run.baseline()?;
    run.fault(|_| load.must("set rate 30", "done"))?;
    load.must("set rate 1", "done");
    let widen = |stage: &crate::stage::Stage| stage.load.set("net.ipv4.ip_local_port_range", "32768 60999");
    run.recovery(widen, &mut [("load", &mut load), ("web", &mut web)])
}

fn no_files(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    let mut web = stage.app_of_files(64, &stage.web, "web.py", &[WEB, "threads", "32"])?;
    let mut load = stage.clients(WEB)?;
    load.must("set think 500", "done");
    load.must("clients 20", "done");
    run.baseline()?;
    run.fault(|_| load.must("clients 100", "done"))?;
    load.must("clients 20", "done");
    run.recovery(|_| (), &mut [("load", &mut load), ("web", &mut web)])
}
