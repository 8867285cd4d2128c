//! Pools of proxies: they have callers and connections of their own, and one thread for all.

use anyhow::Result;

use super::{Place, Scenario, edge, may, must, pools::callers_grow};
use crate::{
    run::Run,
    stage::{APP, PGBOUNCER, UP, WEB},
    truth::Kind,
};

const HAPROXY_TO_WEB: Place = edge("haproxy", "web.py:8080");
const PGBOUNCER_TO_POSTGRES: Place = edge("pgbouncer", "postgres:5432");
const APP_TO_PGBOUNCER: Place = edge("app.py", "pgbouncer:6432");

pub(super) const ROWS: &[Scenario] = &[
    Scenario {
        name: "F41",
        title: "more requests than a proxy may have connections",
        kind: Kind::Fault,
        edge: HAPROXY_TO_WEB,
        must: &[must("pool_exhausted", HAPROXY_TO_WEB, 15.0).of_class(&["too small"])],
        may: &[may("pool_near_limit", HAPROXY_TO_WEB)],
        must_not: &[may("receive_queue", HAPROXY_TO_WEB)],
        fault_s: 20,
        play: queue_of_haproxy,
    },
    Scenario {
        name: "F42",
        title: "a pool that is large enough, before one that is not",
        kind: Kind::Fault,
        edge: PGBOUNCER_TO_POSTGRES,
        must: &[must("pool_exhausted", PGBOUNCER_TO_POSTGRES, 15.0).of_class(&["too small"])],
        may: &[may("pool_near_limit", PGBOUNCER_TO_POSTGRES), may("pool_near_limit", APP_TO_PGBOUNCER)],
        must_not: &[may("pool_exhausted", APP_TO_PGBOUNCER)],
        fault_s: 20,
        play: pool_of_pgbouncer,
    },
];

fn queue_of_haproxy(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    let mut web = stage.app(&stage.web, "web.py", &[WEB, "threads", "128"])?;
    web.must("set service 20", "done");
    let _haproxy = stage.haproxy(4);
    let mut load = callers_grow(run, 3, 16, 5)?;
    run.recovery(|_| (), &mut [("load", &mut load), ("web", &mut web)])
}

/// Callers find a connection in the application's pool; PgBouncer has none for them.
fn pool_of_pgbouncer(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    let _postgres = stage.postgres(20);
    let _pgbouncer = stage.pgbouncer(4);
    let _app = stage.app(&stage.app, "app.py", &[APP, PGBOUNCER, "16", UP])?;
    let mut load = callers_grow(run, 3, 16, 5)?;
    // The application's own numbers are of its own pool, which is not the exhausted one.
    run.recovery(|_| (), &mut [("load", &mut load)])
}
