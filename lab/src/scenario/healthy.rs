//! Healthy software that looks broken by one number.

use anyhow::Result;

use super::{Scenario, healthy};
use crate::{
    run::Run,
    stage::{APP, POSTGRES, UP, WEB},
};

pub(super) const ROWS: &[Scenario] = &[
    healthy("H01", "as many callers as connections, all of them busy", all_busy),
    healthy("H02", "a pool used to 85%, and no caller waits", nearly_busy),
    healthy("H03", "fifty polls of 25 s", long_polls),
    healthy("H05", "a Go pool, all of it busy, and no caller waits", all_busy_in_go),
    healthy("H06", "twenty times the load, within the server's capacity", batch),
    healthy("H07", "four replicas restarted in turn, each drained before", rolling_restart),
    healthy("H09", "hardly any load", quiet),
    healthy("H10", "twenty thousand closed connections, and ports for more", closed_connections),
    healthy("H11", "a connection for each request, 100 a second", one_shot),
    healthy("H12", "health probes that open and close", probed),
    healthy("H13", "five times the load behind a proxy that keeps fewer connections than it needs", kept_by_a_proxy),
    healthy("H21", "idle connections closed by resets", idle_resets),
    healthy("H24", "weir starts in the middle of requests", half_seen),
];

fn all_busy(run: &mut Run<'_>) -> Result<()> {
    as_many_as_connections(run, 40, "app.py")
}

/// Work that moves from thread to thread looks as if connections were handed over.
fn all_busy_in_go(run: &mut Run<'_>) -> Result<()> {
    as_many_as_connections(run, 20, "app.go")
}

fn as_many_as_connections(run: &mut Run<'_>, work_ms: u32, app: &str) -> Result<()> {
    let stage = run.stage;
    let _postgres = stage.postgres(work_ms);
    let mut app = stage.app(&stage.app, app, &[APP, POSTGRES, "4", UP])?;
    let mut load = stage.clients(APP)?;
    load.must("set think 100", "done");
    load.must("clients 4", "done");
    run.baseline()?;
    run.fault(|_| load.must("set think 0", "done"))?;
    load.must("set think 100", "done");
    run.recovery(|_| (), &mut [("app", &mut app), ("load", &mut load)])
}

fn nearly_busy(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    let _postgres = stage.postgres(40);
    let mut app = stage.app(&stage.app, "app.py", &[APP, POSTGRES, "4", UP])?;
    let mut load = stage.clients(APP)?;
    load.must("set think 100", "done");
    load.must("clients 4", "done");
    run.baseline()?;
    run.fault(|_| load.must("set think 5", "done"))?;
    load.must("set think 100", "done");
    run.recovery(|_| (), &mut [("app", &mut app), ("load", &mut load)])
}

fn long_polls(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    let mut web = stage.app(&stage.web, "web.py", &[WEB, "threads", "128"])?;
    web.must("set service 25000", "done");
    web.must("set spread 0.2", "done");
    let mut load = stage.clients(WEB)?;
    load.must("clients 25", "done");
    run.baseline()?;
    run.fault(|_| load.must("clients 50", "done"))?;
    run.recovery(|_| (), &mut [("load", &mut load), ("web", &mut web)])
}

fn batch(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    let mut web = stage.app(&stage.web, "web.py", &[WEB, "threads", "128"])?;
    let mut load = stage.clients(WEB)?;
    load.must("set think 100", "done");
    load.must("clients 1", "done");
    run.baseline()?;
    run.fault(|_| load.must("clients 20", "done"))?;
    load.must("clients 1", "done");
    run.recovery(|_| (), &mut [("load", &mut load), ("web", &mut web)])
}

/// nginx drains a replica before it is stopped.
fn rolling_restart(run: &mut Run<'_>) -> Result<()> {
    const PORTS: [u16; 4] = [9001, 9002, 9003, 9004];
    let stage = run.stage;
    let replica = |port: u16| stage.app(&stage.up, "up.py", &[&format!("10.78.5.1:{port}"), "threads", "128"]);
    let mut replicas = PORTS.map(|port| replica(port).map(Some)).into_iter().collect::<Result<Vec<_>>>()?;
    let nginx = stage.nginx_before(&PORTS, 8, None)?;
    let mut load = stage.clients(WEB)?;
    load.must("set think 50", "done");
    load.must("clients 4", "done");
    run.baseline()?;
    let mut restarted = Ok(());
    run.fault(|_| {
        restarted = PORTS.iter().zip(&mut replicas).try_for_each(|(port, up)| {
            stage.balance(&nginx, &PORTS, Some(*port))?;
            std::thread::sleep(std::time::Duration::from_secs(2));
            // The old process has to release the port first.
            drop(up.take());
            *up = Some(replica(*port)?);
            stage.balance(&nginx, &PORTS, None)
        });
    })?;
    restarted?;
    run.recovery(|_| (), &mut [("load", &mut load)])
}

fn quiet(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    let mut web = stage.app(&stage.web, "web.py", &[WEB, "threads", "128"])?;
    let mut load = stage.clients(WEB)?;
    load.must("set think 50", "done");
    load.must("clients 5", "done");
    run.baseline()?;
    run.fault(|_| load.must("set think 1000", "done"))?;
    load.must("set think 50", "done");
    run.recovery(|_| (), &mut [("load", &mut load), ("web", &mut web)])
}

/// A closed connection keeps its port for a minute.
fn closed_connections(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    stage.load.set("net.ipv4.ip_local_port_range", "10000 65000");
    stage.load.set("net.ipv4.tcp_max_tw_buckets", "65536");
    stage.load.set("net.ipv4.tcp_tw_reuse", "0");
    let echo = stage.echo();
    let mut web = stage.app(&stage.web, "web.py", &[WEB, "threads", "128"])?;
    let mut load = stage.clients(WEB)?;
    load.must("set think 50", "done");
    load.must("clients 2", "done");
    run.baseline()?;
    run.fault(|stage| stage.short_connections(&format!("10.78.4.1:{}", echo.port()), 20_000))?;
    run.recovery(|_| (), &mut [("load", &mut load), ("web", &mut web)])
}

fn one_shot(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    let _nginx = stage.nginx("location / { keepalive_timeout 0; return 200 ok; }");
    let mut load = stage.clients(WEB)?;
    load.must("set rate 50", "done");
    run.baseline()?;
    run.fault(|_| load.must("set rate 100", "done"))?;
    load.must("set rate 50", "done");
    run.recovery(|_| (), &mut [("load", &mut load)])
}

fn probed(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    let mut web = stage.app(&stage.web, "web.py", &[WEB, "threads", "128"])?;
    let mut load = stage.clients(WEB)?;
    load.must("set think 50", "done");
    load.must("clients 2", "done");
    let mut prober = stage.app(&stage.app, "load.py", &[WEB, "1"])?;
    run.baseline()?;
    run.fault(|_| prober.must("set probes 1", "done"))?;
    run.recovery(|_| (), &mut [("load", &mut load), ("prober", &mut prober), ("web", &mut web)])
}

/// nginx's idle connections are a cache: without an idle one it opens a connection, and it closes those beyond four when they
/// become idle. No caller ever waits for one.
fn kept_by_a_proxy(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    let mut up = stage.app(&stage.up, "up.py", &[UP, "threads", "128"])?;
    up.must("set service 20", "done");
    let _nginx = stage.nginx_before(&[9000], 4, None)?;
    let mut load = stage.clients(WEB)?;
    load.must("set think 20", "done");
    load.must("clients 3", "done");
    run.baseline()?;
    run.fault(|_| load.must("clients 16", "done"))?;
    load.must("clients 3", "done");
    run.recovery(|_| (), &mut [("load", &mut load), ("up", &mut up)])
}

/// The server closes connections that are idle for a second; the clients sometimes think longer.
fn idle_resets(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    let mut web = stage.app(&stage.web, "web.py", &[WEB, "threads", "128"])?;
    let mut load = stage.clients(WEB)?;
    load.must("set think 50", "done");
    load.must("clients 6", "done");
    let mut idle = stage.app(&stage.app, "load.py", &[WEB, "1"])?;
    run.baseline()?;
    run.fault(|_| {
        web.must("set idle 1", "done");
        idle.must("set think 3000", "done");
        idle.must("set fixed 1", "done");
        idle.must("clients 10", "done");
    })?;
    idle.must("clients 0", "done");
    web.must("set idle 0", "done");
    run.recovery(|_| (), &mut [("load", &mut load), ("idle", &mut idle), ("web", &mut web)])
}

fn half_seen(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    let mut web = stage.app(&stage.web, "web.py", &[WEB, "threads", "128"])?;
    web.must("set service 1500", "done");
    web.must("set spread 0.9", "done");
    let mut load = stage.clients(WEB)?;
    load.must("set think 20", "done");
    load.must("clients 30", "done");
    std::thread::sleep(std::time::Duration::from_secs(3));
    run.baseline()?;
    run.fault(|_| ())?;
    run.recovery(|_| (), &mut [("load", &mut load), ("web", &mut web)])
}
