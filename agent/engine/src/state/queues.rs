//! Accept queues: cumulative counters to what a window holds of them.

use std::collections::BTreeMap;

use weir_abi::{AcceptQueue, COMM_LEN, FILL_BUCKETS, ListeningPort};

use crate::{edge::distribution::Distribution, polled::Owner};

/// More than the kernel half keeps, so that ports which come and go have a bound too.
const MAX_QUEUES: usize = 2048;

/// A listening port's accept queue in a window.
#[derive(Clone, Debug, PartialEq)]
pub struct AcceptQueueView {
    /// Its network namespace and port.
    pub at: ListeningPort,
    /// The process that accepted last, or else the one that listens, and the latter's name.
    pub pid: u32,
    /// As above.
    pub comm: String,
    /// It is full when there are more.
    pub limit: u32,
    /// Its length after the last arrival.
    pub depth: u32,
    /// Connections that came into it.
    pub arrivals: u64,
    /// Their number in it, as arrivals found it (each counts itself), on average; 0 without any.
    pub mean_depth: f64,
    /// Arrivals by how full they left it (`weir_abi::FILL_BUCKETS`).
    pub fill: [u32; FILL_BUCKETS],
    /// How long connections waited to be accepted.
    pub wait: Distribution,
}

/// A queue, and where each window counts from.
#[derive(Debug)]
struct Known {
    latest: AcceptQueue,
    from: Box<[AcceptQueue]>,
    updated_ns: u64,
}

/// All of them.
#[derive(Debug)]
pub(crate) struct Queues {
    /// Boxed: nodes of the tree are half empty.
    known: BTreeMap<ListeningPort, Box<Known>>,
    windows: usize,
}

impl Queues {
    pub(crate) fn with_windows(windows: usize) -> Self {
        Self { known: BTreeMap::new(), windows }
    }

    pub(crate) fn take(&mut self, now_ns: u64, at: ListeningPort, queue: &AcceptQueue) {
        if self.known.len() >= MAX_QUEUES && !self.known.contains_key(&at) {
            let oldest = self.known.iter().min_by_key(|(_, known)| known.updated_ns).map(|(at, _)| *at);
            oldest.and_then(|oldest| self.known.remove(&oldest));
        }
        let windows = self.windows;
        let known = self.known.entry(at).or_insert_with(|| Box::new(Known::new(windows)));
        // Closed and listened on again: another queue.
        let before = &known.latest;
        let fell = queue.fill.iter().zip(&before.fill).any(|(now, before)| now < before);
        if fell || queue.enqueued < before.enqueued || queue.depth_sum < before.depth_sum {
            known.from.fill(AcceptQueue::EMPTY);
        }
        (known.latest, known.updated_ns) = (*queue, now_ns);
    }

    pub(crate) fn close_window(&mut self, window: usize) {
        for known in self.known.values_mut() {
            known.from[window] = known.latest;
        }
    }

    /// A window's, in the order of their keys.
    pub(crate) fn views(&self, window: usize) -> Vec<AcceptQueueView> {
        let queues = self.known.iter();
        let views = queues
            .filter_map(|(at, known)| Some(AcceptQueueView::between(*at, known.from.get(window)?, &known.latest)));
        views.collect()
    }
}

impl Known {
    fn new(windows: usize) -> Self {
        Self { latest: AcceptQueue::EMPTY, from: vec![AcceptQueue::EMPTY; windows].into(), updated_ns: 0 }
    }
}

impl AcceptQueueView {
    fn between(at: ListeningPort, from: &AcceptQueue, latest: &AcceptQueue) -> Self {
        let arrivals = latest.enqueued.wrapping_sub(from.enqueued);
        let depths = latest.depth_sum.wrapping_sub(from.depth_sum);
        Self {
            at,
            pid: latest.tgid,
            comm: name(&latest.comm),
            limit: latest.limit,
            depth: latest.depth,
            arrivals,
            mean_depth: if arrivals == 0 { 0.0 } else { depths as f64 / arrivals as f64 },
            fill: std::array::from_fn(|i| latest.fill[i].wrapping_sub(from.fill[i])),
            wait: Distribution::between(&from.wait, &latest.wait),
        }
    }

    /// The process that it is of.
    pub fn owner(&self) -> Owner {
        Owner { pid: self.pid, comm: self.comm.as_str().into() }
    }

    /// Arrivals that left it at least so many eighths full, of all.
    pub fn at_least(&self, eighths: usize) -> u64 {
        self.fill.iter().skip(eighths).map(|n| u64::from(*n)).sum()
    }
}

fn name(comm: &[u8; COMM_LEN]) -> String {
    let end = comm.iter().position(|byte| *byte == 0).unwrap_or(COMM_LEN);
    String::from_utf8_lossy(&comm[..end]).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(enqueued: u64) -> AcceptQueue {
        let mut queue = AcceptQueue { enqueued, depth_sum: 3 * enqueued, limit: 8, ..AcceptQueue::EMPTY };
        queue.fill[2] = enqueued as u32;
        queue
    }

    #[test]
    fn a_window_holds_what_came_in_it() {
        let at = ListeningPort { netns: 1, port: 80 };
        let mut queues = Queues::with_windows(1);
        queues.take(1, at, &queue(5));
        queues.close_window(0);
        assert_eq!(queues.views(0)[0].arrivals, 0);
        queues.take(2, at, &queue(9));
        let view = &queues.views(0)[0];
        assert_eq!((view.arrivals, view.mean_depth, view.at_least(2), view.at_least(3)), (4, 3.0, 4, 0));
        queues.take(3, at, &queue(2));
        assert_eq!(queues.views(0)[0].arrivals, 2, "opened again");
    }

    #[test]
    fn of_too_many_the_oldest_are_forgotten() {
        let mut queues = Queues::with_windows(1);
        for port in 0..=MAX_QUEUES as u32 {
            queues.take(port.into(), ListeningPort { netns: 1, port }, &queue(1));
        }
        assert_eq!((queues.known.len(), queues.known.keys().next().map(|at| at.port)), (MAX_QUEUES, Some(1)));
    }
}
