//! An accept queue as a line.

use serde::{Deserialize, Serialize};
use weir_abi::{AcceptQueue, COMM_LEN, FILL_BUCKETS, ListeningPort};
use weir_engine::Input;

use super::histogram::Sparse;

/// All fields of an accept queue. Few queues change in a tick, so the line owns its values.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Queue {
    netns: u32,
    port: u32,
    tgid: u32,
    limit: u32,
    depth: u32,
    comm: [u8; COMM_LEN],
    enqueued: u64,
    depth_sum: u64,
    fill: [u32; FILL_BUCKETS],
    wait_sum_ns: u64,
    wait: Vec<(usize, u32)>,
}

impl Queue {
    pub(super) fn of(at: ListeningPort, queue: &AcceptQueue) -> Self {
        let ListeningPort { netns, port } = at;
        let AcceptQueue { tgid, limit, depth, comm, enqueued, depth_sum, fill, wait, _pad: _, _pad2: _ } = *queue;
        let buckets = wait.buckets.iter().copied().enumerate().filter(|(_, n)| *n != 0).collect();
        Self {
            netns,
            port,
            tgid,
            limit,
            depth,
            comm,
            enqueued,
            depth_sum,
            fill,
            wait_sum_ns: wait.sum_ns,
            wait: buckets,
        }
    }

    /// Passes it on as an input.
    pub(super) fn emit(self, sink: &mut dyn FnMut(Input<'_>)) {
        let Self { netns, port, tgid, limit, depth, comm, enqueued, depth_sum, fill, wait_sum_ns, wait } = self;
        let wait = Sparse { sum_ns: wait_sum_ns, buckets: wait }.into();
        let queue = AcceptQueue { tgid, limit, depth, comm, enqueued, depth_sum, fill, wait, ..AcceptQueue::EMPTY };
        sink(Input::AcceptQueue { at: ListeningPort { netns, port }, queue: &queue });
    }
}
