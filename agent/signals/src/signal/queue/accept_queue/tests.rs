use weir_abi::{AcceptQueue, EdgeRecord, ListeningPort};
use weir_ebpf::{fill, histogram::index};

use crate::{
    incident::{alarm::Ended, decisions::Happened, severity::Level},
    lab::{Lab, MS, client, server},
    report::alert::MAX_TEXT,
};
use weir_engine::Input;

const LIMIT: u32 = 64;

/// A web server, one of its callers, and its accept queue.
struct Web {
    lab: Lab,
    queue: AcceptQueue,
}

impl Web {
    fn new() -> Self {
        let caller = client(7, 2);
        let records: [EdgeRecord; 2] = [caller, server(8, &caller)];
        let mut queue = AcceptQueue { tgid: 8, limit: LIMIT, ..AcceptQueue::EMPTY };
        queue.comm[..5].copy_from_slice(b"redis");
        Self { lab: Lab::new(records), queue }
    }

    /// So many come in each second, find so many before them, and wait so long; none is accepted where that is nothing.
    fn run(&mut self, seconds: u64, arrivals: u32, depth: u32, wait_ns: Option<u64>) -> &mut Self {
        for _ in 0..seconds {
            let queue = &mut self.queue;
            queue.enqueued += u64::from(arrivals);
            queue.depth_sum += u64::from(arrivals * depth);
            queue.fill[fill::bucket(depth, LIMIT)] += arrivals;
            queue.depth = depth;
            if let Some(wait_ns) = wait_ns {
                queue.wait.buckets[index(wait_ns)] += arrivals;
                queue.wait.sum_ns += u64::from(arrivals) * wait_ns;
            }
            let at = ListeningPort { netns: 1, port: 6379 };
            self.lab.engine.take(Input::AcceptQueue { at, queue });
            self.lab.run(1, |_, _| ());
        }
        self
    }
}

#[test]
fn a_wait_raises_and_clears() {
    let mut web = Web::new();
    web.run(60, 20, 1, Some(MS)).run(30, 30, 40, Some(600 * MS)).run(40, 20, 1, Some(MS));
    assert_eq!(web.lab.happened(), [(70, Happened::Raised), (105, Happened::Resolved(Ended::Cleared))]);
    let alert = &web.lab.events[0].1.alert;
    assert_eq!(alert.severity().level(), Level::Warn, "it is not nearly full");
    let document = alert.document();
    assert_eq!((document.signal, document.class), ("accept_queue", Some("more load")));
    assert_eq!(document.server.as_deref(), Some("redis:6379"));
    assert!(alert.text().chars().count() <= MAX_TEXT, "{}", alert.text());
    assert_eq!(web.lab.decider.incidents().lost(), Default::default());
}

#[test]
fn a_queue_nearly_full_whose_callers_wait_pages() {
    let mut web = Web::new();
    web.run(60, 20, 1, Some(MS)).run(20, 20, LIMIT, Some(1500 * MS));
    let alert = &web.lab.events[0].1.alert;
    assert_eq!((alert.severity().level(), alert.document().class), (Level::Critical, Some("slow accept")));
}

/// Nothing is known of what is normal: a full queue is one all the same.
#[test]
fn a_server_that_does_not_accept() {
    let mut web = Web::new();
    web.run(20, 20, LIMIT + 1, None);
    let alert = &web.lab.events.first().expect("an incident").1.alert;
    assert_eq!((alert.severity().level(), alert.document().class), (Level::Critical, Some("not accepting")));
    assert!(alert.document().what.contains("65 of 65"), "{}", alert.document().what);
}

#[test]
fn what_was_always_so_and_one_burst_are_silent() {
    let mut web = Web::new();
    web.run(120, 20, 8, Some(60 * MS));
    assert_eq!(web.lab.happened(), []);
    let mut web = Web::new();
    web.run(60, 20, 1, Some(MS)).run(1, 60, 60, Some(500 * MS)).run(60, 20, 1, Some(MS));
    assert_eq!(web.lab.happened(), []);
}

/// A server that waits longest when it is busiest, learned or not, and queues too small to be half full.
#[test]
fn what_ends_clears_and_small_queues_are_not_full_of_one() {
    let mut web = Web::new();
    // Before anything is known as normal: a burst that fills it, and then as ever.
    web.run(20, 20, 50, Some(100 * MS)).run(30, 20, 2, Some(100 * MS));
    assert_eq!(web.lab.happened().last().map(|(_, happened)| *happened), Some(Happened::Resolved(Ended::Cleared)));
    let mut web = Web::new();
    web.queue.limit = 1;
    for _ in 0..60 {
        web.queue.fill[fill::bucket(1, 1)] += 3;
        web.run(1, 0, 1, Some(0));
        web.queue.enqueued += 3;
    }
    assert_eq!(web.lab.happened(), []);
}
