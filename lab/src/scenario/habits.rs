//! Healthy software with unusual habits: on its connections, in its numbers, beside it.

use anyhow::Result;

use super::{Scenario, healthy};
use crate::{
    group::Group,
    run::Run,
    stage::{REDIS, WEB},
};

pub(super) const ROWS: &[Scenario] = &[
    healthy("H04", "thirty clients that receive pushed messages, and ping every 3 s", pushes),
    healthy("H08", "two clients become six, which ask as often", more_clients),
    healthy("H14", "replies of 64 MiB, one after the other", bulk),
    healthy("H15", "a queue whose items always came at once runs out of them", no_more_items),
    healthy("H16", "sixteen requests at once on each connection", pipelines),
    healthy("H20", "a batch of low weight uses the idle time of the processors", batch_beside),
];

fn pushes(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    let mut server = stage.app(&stage.web, "push.py", &["serve", WEB])?;
    let mut clients = stage.app(&stage.load, "push.py", &["follow", WEB, "30"])?;
    run.baseline()?;
    let mut more = None;
    run.fault(|stage| more = Some(stage.app(&stage.app, "push.py", &["follow", WEB, "10"])))?;
    more.transpose()?;
    run.recovery(|_| (), &mut [("server", &mut server), ("clients", &mut clients)])
}

fn more_clients(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    let mut web = stage.app(&stage.web, "web.py", &[WEB, "threads", "128"])?;
    let client = || {
        let mut client = stage.clients(WEB)?;
        client.must("set think 100", "done");
        client.must("clients 4", "done");
        Ok(client)
    };
    let mut first = [client()?, client()?];
    run.baseline()?;
    let mut more: Vec<Result<_>> = Vec::new();
    run.fault(|_| more.extend((0..4).map(|_| client())))?;
    let more: Vec<_> = more.into_iter().collect::<Result<_>>()?;
    let [one, _] = &mut first;
    run.recovery(|_| drop(more), &mut [("load", one), ("web", &mut web)])
}

fn bulk(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    let mut web = stage.app(&stage.web, "web.py", &[WEB, "threads", "64"])?;
    web.must("set bytes 1000", "done");
    let mut reader = stage.app(&stage.load, "slow.py", &[WEB, "4"])?;
    run.baseline()?;
    run.fault(|_| web.must("set bytes 67108864", "done"))?;
    web.must("set bytes 1000", "done");
    run.recovery(|_| (), &mut [("reader", &mut reader), ("web", &mut web)])
}

/// Consumers wait for the next item, and no caller waits for them.
fn no_more_items(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    let _redis = stage.redis();
    let mut queue = stage.app(&stage.app, "consumers.py", &[REDIS])?;
    queue.must("set items 200", "done");
    queue.must("start consumers 8", "done");
    run.baseline()?;
    run.fault(|_| queue.must("set items 0", "done"))?;
    queue.must("set items 200", "done");
    run.recovery(|_| (), &mut [("queue", &mut queue)])
}

fn pipelines(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    let _redis = stage.redis();
    let mut queue = stage.app(&stage.app, "consumers.py", &[REDIS])?;
    queue.must("start pipelines 4", "done");
    run.baseline()?;
    run.fault(|_| queue.must("set depth 16", "done"))?;
    queue.must("set depth 1", "done");
    run.recovery(|_| (), &mut [("queue", &mut queue)])
}

fn batch_beside(run: &mut Run<'_>) -> Result<()> {
    let stage = run.stage;
    let group = Group::new("batch")?;
    group.weigh(0.01)?;
    let mut web = stage.app(&stage.web, "web.py", &[WEB, "threads", "128"])?;
    web.must("set cpu 5", "done");
    let mut load = stage.clients(WEB)?;
    load.must("set think 80", "done");
    load.must("clients 6", "done");
    run.baseline()?;
    let mut batch = Vec::new();
    run.fault(|stage| batch.extend((0..2).map(|_| stage.busy_loop(&group))))?;
    let batch: Vec<_> = batch.into_iter().collect::<Result<_>>()?;
    run.recovery(|_| drop(batch), &mut [("web", &mut web), ("load", &mut load)])
}
