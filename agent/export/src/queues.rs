//! Accept queues, as part of the document.

use weir_engine::AcceptQueueView;

use super::json::{Json, Object};
use crate::document::{distribution, rounded};

const NONE_ACCEPTED: &str = "no connection was accepted in the window";

/// Those that something came into in the window, or was taken out of.
pub(super) fn list(queues: &[AcceptQueueView]) -> Vec<Json> {
    queues.iter().filter(|queue| queue.arrivals > 0 || queue.wait.count > 0).map(|queue| one(queue).into()).collect()
}

pub(super) fn one(queue: &AcceptQueueView) -> Object {
    let AcceptQueueView { at, pid, comm, limit, depth, arrivals, mean_depth, fill, wait } = queue;
    Object::new()
        .with("netns", at.netns)
        .with("port", at.port)
        .with("pid", *pid)
        .with("comm", comm.as_str())
        .with("limit", *limit)
        .with("depth", *depth)
        .with("arrivals", *arrivals)
        .with("mean_depth", rounded(*mean_depth))
        .with("fill", fill.iter().map(|n| (*n).into()).collect::<Vec<Json>>())
        .maybe("accept_wait_s", distribution(wait, NONE_ACCEPTED))
}
