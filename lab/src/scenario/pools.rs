//! Exhausted connection pools, for each of the possible reasons.

use anyhow::Result;

use super::{Expectation, Place, Scenario, edge, may, must};
use crate::{
    run::Run,
    stage::{APP, App, POSTGRES, UP},
    truth::Kind,
};

const POOL: &str = "pool_exhausted";
const TO_POSTGRES: Place = edge("app.py", "postgres:5432");
const ASYNC_TO_POSTGRES: Place = edge("aioapp.py", "postgres:5432");
const JAVA_TO_POSTGRES: Place = edge("app.java", "postgres:5432");
const GO_TO_POSTGRES: Place = edge("goapp", "postgres:5432");
const WORKERS_TO_POSTGRES: Place = edge("workers.py", "postgres:5432");

const fn exhausted(at: Place, within_s: f64, class: &'static [&'static str]) -> Expectation {
    must(POOL, at, within_s).of_class(class)
}

pub(super) const ROWS: &[Scenario] = &[
    Scenario {
        name: "F01",
        title: "more callers than the pool has connections",
        kind: Kind::Fault,
        edge: TO_POSTGRES,
        must: &[exhausted(TO_POSTGRES, 15.0, &["too small"])],
        may: &[may("pool_near_limit", TO_POSTGRES)],
        must_not: &[may("edge_errors", TO_POSTGRES)],
        fault_s: 20,
        play: more_callers,
    },
    Scenario {
        name: "F02",
        title: "the database becomes ten times slower",
        kind: Kind::Fault,
        edge: TO_POSTGRES,
        must: &[exhausted(TO_POSTGRES, 15.0, &["slow dependency"])],
        may: &[may("pool_near_limit", TO_POSTGRES)],
        must_not: &[may("accept_queue", edge("app.py", "postgres:5432"))],
        fault_s: 20,
        play: slow_database,
    },
    Scenario {
        name: "F03",
        title: "a connection is held while something else is called",
        kind: Kind::Fault,
        edge: TO_POSTGRES,
        must: &[exhausted(TO_POSTGRES, 15.0, &["held while not in use"])],
        may: &[may("pool_near_limit", TO_POSTGRES)],
        must_not: &[may(POOL, TO_POSTGRES).of_class(&["slow dependency", "too small"])],
        fault_s: 20,
        play: held,
    },
    Scenario {
        name: "F04",
        title: "each twentieth connection is not returned",
        kind: Kind::Fault,
        edge: TO_POSTGRES,
        must: &[exhausted(TO_POSTGRES, 60.0, &["held while not in use", "leak or deadlock"])],
        may: &[may("hung_request", edge("load.py", "app.py:8000")), may("pool_near_limit", TO_POSTGRES)],
        must_not: &[may("edge_errors", TO_POSTGRES)],
        fault_s: 60,
        play: leak,
    },
    Scenario {
        name: "F05",
        title: "more callers than the pool of an event loop has connections",
        kind: Kind::Fault,
        edge: ASYNC_TO_POSTGRES,
        must: &[exhausted(ASYNC_TO_POSTGRES, 15.0, &["too small"])],
        may: &[may("pool_near_limit", ASYNC_TO_POSTGRES)],
        must_not: &[may("edge_errors", ASYNC_TO_POSTGRES)],
        fault_s: 20,
        play: more_callers_of_a_loop,
    },
    Scenario {
        name: "F06",
        title: "more callers than a Java pool has connections",
        kind: Kind::Fault,
        edge: JAVA_TO_POSTGRES,
        must: &[exhausted(JAVA_TO_POSTGRES, 15.0, &["too small"])],
        may: &[may("pool_near_limit", JAVA_TO_POSTGRES)],
        must_not: &[may("edge_errors", JAVA_TO_POSTGRES)],
        fault_s: 20,
        play: more_callers_of_java,
    },
    Scenario {
        name: "F07",
        title: "more callers than a Go pool has connections",
        kind: Kind::Fault,
        edge: GO_TO_POSTGRES,
        must: &[exhausted(GO_TO_POSTGRES, 15.0, &["too small"])],
        may: &[may("pool_near_limit", GO_TO_POSTGRES)],
        must_not: &[may("edge_errors", GO_TO_POSTGRES)],
        fault_s: 20,
        play: more_callers_of_go,
    },
    Scenario {
        name: "F08",
        title: "more workers than the database's connection limit",
        kind: Kind::Fault,
        edge: WORKERS_TO_POSTGRES,
        must: &[must("pool_refused", WORKERS_TO_POSTGRES, 15.0)],
        may: &[may("edge_errors", WORKERS_TO_POSTGRES).of_class(&["broken"])],
        must_not: &[may("listen_overflow", WORKERS_TO_POSTGRES), may("ports_exhausted", WORKERS_TO_POSTGRES)],
        fault_s: 20,
        play: too_many_workers,
    },
];

fn more_callers(run: &mut Run<'_>) -> Result<()> {
    sixteen_callers_of(run, "app.py")
}

fn more_callers_of_java(run: &mut Run<'_>) -> Result<()> {
    sixteen_callers_of(run, "app.java")
}

fn more_callers_of_go(run: &mut Run<'_>) -> Result<()> {
    sixteen_callers_of(run, "app.go")
}

fn sixteen_callers_of(run: &mut Run<'_>, app: &str) -> Result<()> {
    let stage = run.stage;
    let _postgres = stage.postgres(20);
    let mut app = stage.app(&stage.app, app, &[APP, POSTGRES, "4", UP])?;
    let mut load = callers_grow(run, 3, 16, 0)?;
    run.recovery(|_| (), &mut [("app", &mut app), ("load", &mut load)])
}

/// Baseline and fault: few callers become many; they are few again at its end.
pub(super) fn callers_grow(run: &mut Run<'_>, few: u32, many: u32, pause_ms: u32) -> Result<App> {
    let ask = |load: &mut App, callers: u32, pause_ms: u32| {
        load.must(&format!("set think {pause_ms}"), "done");
        load.must(&format!("clients {callers}"), "done");
    };
    let mut load = run.stage.clients(APP)?;
    ask(&mut load, few, 40);
    run.baseline()?;
    run.fault(|_| ask(&mut load, many, pause_ms))?;
    ask(&mut load, few, 40);
    Ok(load)
}

fn slow_database(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    let _postgres = stage.postgres(20);
    let mut app = stage.app(&stage.app, "app.py", &[APP, POSTGRES, "4", UP])?;
    let mut load = stage.clients(APP)?;
    load.must("set think 125", "done");
    load.must("clients 8", "done");
    run.baseline()?;
    run.fault(|stage| stage.work_takes(200))?;
    run.recovery(|stage| stage.work_takes(20), &mut [("app", &mut app), ("load", &mut load)])
}

/// The HTTP call takes 100 ms before and during the fault; only in the fault is a connection held meanwhile.
fn held(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    let _postgres = stage.postgres(5);
    let mut up = stage.app(&stage.up, "up.py", &[UP, "threads", "128"])?;
    up.must("set service 100", "done");
    let mut app = stage.app(&stage.app, "app.py", &[APP, POSTGRES, "4", UP])?;
    app.must("mode outside", "done");
    let mut load = stage.clients(APP)?;
    load.must("set think 40", "done");
    load.must("clients 12", "done");
    run.baseline()?;
    run.fault(|_| app.must("mode held", "done"))?;
    app.must("mode outside", "done");
    run.recovery(|_| (), &mut [("app", &mut app), ("load", &mut load), ("up", &mut up)])
}

/// At ten checkouts a second it takes some eight seconds until none is left.
fn leak(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    let _postgres = stage.postgres(20);
    let mut app = stage.app(&stage.app, "app.py", &[APP, POSTGRES, "4", UP])?;
    let mut load = stage.clients(APP)?;
    load.must("set think 800", "done");
    load.must("clients 8", "done");
    run.baseline()?;
    run.fault(|_| app.must("mode leak", "done"))?;
    app.must("mode plain", "done");
    run.recovery(|_| (), &mut [("app", &mut app), ("load", &mut load)])
}

fn more_callers_of_a_loop(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    let _postgres = stage.postgres(20);
    let mut app = stage.app(&stage.app, "aioapp.py", &[APP, POSTGRES, "4"])?;
    let mut load = callers_grow(run, 4, 32, 0)?;
    run.recovery(|_| (), &mut [("app", &mut app), ("load", &mut load)])
}

/// The limit is that of a role, which refuses as that of the whole server does.
fn too_many_workers(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    let _postgres = stage.postgres(20);
    stage.sql("CREATE ROLE app LOGIN CONNECTION LIMIT 10");
    let seed = stage.seed.to_string();
    let mut first = stage.app(&stage.app, "workers.py", &[POSTGRES, &seed])?;
    let mut second = stage.app(&stage.web, "workers.py", &[POSTGRES, &seed])?;
    first.must("workers 8", "done");
    run.baseline()?;
    run.fault(|_| second.must("workers 8", "done"))?;
    second.must("workers 0", "done");
    run.recovery(|_| (), &mut [("second", &mut second), ("first", &mut first)])
}
