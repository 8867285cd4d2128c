//! Connections and requests that wait in queues, and readers that do not read.

use anyhow::Result;

use super::{ANYWHERE, Place, Scenario, edge, may, must, on, to};
use crate::{
    run::Run,
    stage::{APP, REDIS, WEB},
    truth::Kind,
};

const TO_WEB: Place = to("web.py:8080");
const LOAD_TO_WEB: Place = edge("load.py", "web.py:8080");
const CACHE_TO_REDIS: Place = edge("cache.py", "redis-server:6379");
const SLOW_TO_WEB: Place = edge("slow.py", "web.py:8080");

pub(super) const ROWS: &[Scenario] = &[
    Scenario {
        name: "F09",
        title: "connections come faster than they are accepted",
        kind: Kind::Fault,
        edge: TO_WEB,
        must: &[must("accept_queue", TO_WEB, 15.0), must("listen_overflow", TO_WEB, 20.0)],
        may: &[may("receive_queue", TO_WEB), may("edge_errors", LOAD_TO_WEB), may("hung_request", LOAD_TO_WEB)],
        must_not: &[may("pool_exhausted", ANYWHERE)],
        fault_s: 20,
        play: slow_accept,
    },
    Scenario {
        name: "F10",
        title: "a server is stopped while clients go on connecting",
        kind: Kind::Fault,
        edge: TO_WEB,
        must: &[
            must("accept_queue", TO_WEB, 15.0),
            must("listen_overflow", TO_WEB, 15.0),
            must("edge_errors", LOAD_TO_WEB, 20.0).of_class(&["timeout"]),
        ],
        may: &[may("hung_request", LOAD_TO_WEB), may("receive_queue", TO_WEB), may("edge_errors", LOAD_TO_WEB)],
        must_not: &[may("ports_exhausted", ANYWHERE), may("conntrack_full", ANYWHERE)],
        fault_s: 20,
        play: stopped_server,
    },
    Scenario {
        name: "F11",
        title: "half-open connections fill the request queue",
        kind: Kind::Fault,
        edge: TO_WEB,
        must: &[must("listen_overflow", TO_WEB, 15.0).of_class(&["request queue"])],
        may: &[may("edge_errors", LOAD_TO_WEB)],
        must_not: &[
            may("accept_queue", ANYWHERE),
            may("listen_overflow", TO_WEB).of_class(&["accept queue", "dropped"]),
        ],
        fault_s: 20,
        play: half_open,
    },
    Scenario {
        name: "F12",
        title: "a thread of the caller computes, and keeps all others from reading their answers",
        kind: Kind::Fault,
        edge: CACHE_TO_REDIS,
        must: &[must("client_stall", on("cache.py"), 15.0)],
        // It reads its own callers' requests as late.
        may: &[may("receive_queue", to("cache.py:8000")), may("accept_queue", to("cache.py:8000"))],
        must_not: &[may("receive_queue", to("redis-server:6379")), may("hung_request", CACHE_TO_REDIS)],
        fault_s: 20,
        play: stalled_caller,
    },
    Scenario {
        name: "F13",
        title: "a client reads its answer slowly",
        kind: Kind::Fault,
        edge: SLOW_TO_WEB,
        must: &[must("peer_not_reading", SLOW_TO_WEB, 15.0)],
        may: &[may("hung_request", SLOW_TO_WEB)],
        must_not: &[may("send_limited", SLOW_TO_WEB)],
        fault_s: 20,
        play: slow_reader,
    },
];

fn slow_accept(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    stage.load.give_up_connecting_early();
    let mut web = stage.app(&stage.web, "web.py", &[WEB, "serial", "64"])?;
    web.must("set service 20", "done");
    let mut load = stage.clients(WEB)?;
    load.must("set rate 10", "done");
    run.baseline()?;
    run.fault(|_| load.must("set rate 80", "done"))?;
    load.must("set rate 10", "done");
    run.recovery(|_| (), &mut [("load", &mut load), ("web", &mut web)])
}

fn stopped_server(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    stage.load.give_up_connecting_early();
    let mut web = stage.app(&stage.web, "web.py", &[WEB, "serial", "8"])?;
    let mut load = stage.clients(WEB)?;
    load.must("set rate 10", "done");
    run.baseline()?;
    run.fault(|stage| stage.signal(web.pid(), libc::SIGSTOP))?;
    let pid = web.pid();
    run.recovery(|stage| stage.signal(pid, libc::SIGCONT), &mut [("load", &mut load), ("web", &mut web)])
}

/// One caller's last ACKs are dropped on their way, so that its connections stay half open; other callers want to be served.
fn half_open(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    stage.load.give_up_connecting_early();
    stage.web.set("net.ipv4.tcp_syncookies", "0");
    stage.web.set("net.ipv4.tcp_max_syn_backlog", "64");
    let mut web = stage.app(&stage.web, "web.py", &[WEB, "threads", "128"])?;
    let mut load = stage.clients(WEB)?;
    load.must("set rate 20", "done");
    let mut idle = stage.app(&stage.app, "idle.py", &[WEB])?;
    run.baseline()?;
    run.fault(|stage| {
        stage.router.filter("forward", &["ip saddr 10.78.2.1 tcp flags & (syn | ack) == ack drop"]);
        idle.must("start 300", "done");
    })?;
    idle.must("close", "done");
    run.recovery(|stage| stage.router.filter("forward", &[]), &mut [("load", &mut load), ("web", &mut web)])
}

/// The interpreter runs one thread at a time, and switches less often.
fn stalled_caller(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    let _redis = stage.redis();
    let mut cache = stage.app(&stage.app, "cache.py", &[APP, REDIS])?;
    let mut load = stage.clients(APP)?;
    load.must("set think 100", "done");
    load.must("clients 4", "done");
    run.baseline()?;
    run.fault(|_| cache.must("hold 60", "done"))?;
    cache.must("hold 0", "done");
    run.recovery(|_| (), &mut [("cache", &mut cache), ("load", &mut load)])
}

/// Replies larger than all buffers between the two ends.
fn slow_reader(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    let mut web = stage.app(&stage.web, "web.py", &[WEB, "threads", "64"])?;
    web.must("set bytes 10485760", "done");
    let mut slow = stage.app(&stage.load, "slow.py", &[WEB, "4"])?;
    run.baseline()?;
    run.fault(|_| slow.must("pause 50", "done"))?;
    slow.must("pause 0", "done");
    run.recovery(|_| (), &mut [("slow", &mut slow), ("web", &mut web)])
}
