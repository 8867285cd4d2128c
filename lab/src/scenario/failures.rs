//! Calls that are refused, lost, or given up.

use anyhow::Result;

use super::{ANYWHERE, Place, Scenario, edge, may, must, to};
use crate::{
    run::Run,
    stage::{APP, REDIS, WEB},
    truth::Kind,
};

const TO_REDIS: Place = edge("cache.py", "redis-server:6379");
const LOAD_TO_CACHE: Place = edge("load.py", "cache.py:8000");
const LOAD_TO_WEB: Place = edge("load.py", "web.py:8080");

pub(super) const ROWS: &[Scenario] = &[
    Scenario {
        name: "F23",
        title: "packets to the cache are lost, all of them",
        kind: Kind::Fault,
        edge: TO_REDIS,
        must: &[must("edge_errors", TO_REDIS, 20.0).of_class(&["timeout"]), must("hung_request", TO_REDIS, 20.0)],
        may: &[may("hung_request", LOAD_TO_CACHE), may("edge_errors", TO_REDIS).of_class(&["abandoned"])],
        must_not: &[],
        fault_s: 20,
        play: black_hole,
    },
    Scenario {
        name: "F24",
        title: "the cache is gone, and its port answers with a reset",
        kind: Kind::Fault,
        edge: TO_REDIS,
        must: &[must("edge_errors", TO_REDIS, 15.0).of_class(&["refused"])],
        may: &[],
        must_not: &[may("listen_overflow", ANYWHERE)],
        fault_s: 20,
        play: refused,
    },
    Scenario {
        name: "F40",
        title: "callers give up long before the server is done",
        kind: Kind::Fault,
        edge: LOAD_TO_WEB,
        must: &[
            must("edge_errors", LOAD_TO_WEB, 15.0).of_class(&["abandoned"]),
            must("abandoned_work", to("web.py:8080"), 15.0),
        ],
        may: &[],
        must_not: &[may("listen_overflow", ANYWHERE)],
        fault_s: 20,
        play: abandoned,
    },
];

/// Open connections and new ones; a connect times out after three seconds.
fn black_hole(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    stage.app.give_up_connecting_early();
    let _redis = stage.redis();
    let mut cache = stage.app(&stage.app, "cache.py", &[APP, REDIS])?;
    cache.must("jobs 4", "done");
    let mut load = stage.clients(APP)?;
    load.must("set think 200", "done");
    load.must("clients 8", "done");
    run.baseline()?;
    run.fault(|stage| stage.router.filter("forward", &["tcp dport 6379 drop"]))?;
    let open = |stage: &crate::stage::Stage| stage.router.filter("forward", &[]);
    run.recovery(open, &mut [("cache", &mut cache), ("load", &mut load)])
}

fn refused(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    let redis = stage.redis();
    let mut cache = stage.app(&stage.app, "cache.py", &[APP, REDIS])?;
    let mut load = stage.clients(APP)?;
    load.must("set think 200", "done");
    load.must("clients 4", "done");
    run.baseline()?;
    run.fault(|_| drop(redis))?;
    let mut back = None;
    run.recovery(|stage| back = Some(stage.redis()), &mut [("cache", &mut cache), ("load", &mut load)])
}

fn abandoned(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    let mut web = stage.app(&stage.web, "web.py", &[WEB, "threads", "128"])?;
    web.must("set service 20", "done");
    let mut load = stage.clients(WEB)?;
    load.must("set timeout 100", "done");
    load.must("set think 200", "done");
    load.must("clients 8", "done");
    run.baseline()?;
    run.fault(|_| web.must("set service 500", "done"))?;
    web.must("set service 20", "done");
    run.recovery(|_| (), &mut [("load", &mut load), ("web", &mut web)])
}
