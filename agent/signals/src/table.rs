//! Every signal, one row each.

use crate::{
    evaluate::Evaluator,
    incident::alarm::Rule,
    learn::baseline::Learning,
    signal::{
        edge::{
            abandoned_work::{self, AbandonedWork},
            edge_errors::{self, EdgeErrors},
            hung_request::{self, HungRequest},
        },
        pool::{self, PoolExhausted, PoolNearLimit, PoolRefused},
        queue::{
            accept_queue::{self, AcceptQueueEvaluator},
            client_stall::{self, ClientStall},
            listen_overflow::{self, ListenOverflow},
            peer_not_reading::{self, PeerNotReading},
            receive_queue::{self, ReceiveQueue},
            send_limited::{self, SendLimited},
            unix_queue::{self, UnixQueue},
        },
        resource::{
            cpu_throttled::{self, CpuThrottled},
            cpu_wait::{self, CpuWait},
            fds_exhausted::{self, FdsExhausted},
            host_limits::{self, HostLimit},
            ports_exhausted::{self, PortsExhausted},
            pressure::{self, PressureStall},
        },
    },
};

/// A signal, as its row in the table of them all (`SIGNALS`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal {
    /// Its readable name, in documents and on the command line.
    pub name: &'static str,
    /// What it says, in a sentence.
    pub says: &'static str,
    /// How many windows it takes.
    pub rule: Rule,
    /// Restarts and the like explain it: it stays pending for a minute after one.
    pub minds_changes: bool,
}

/// Classes that other parts of the crate refer to. A class is compared by its constant and spelled out nowhere else.
pub(crate) mod class {
    /// `fds_exhausted`: 99% of the descriptors are open, so that `accept`, `socket` and `open` fail.
    pub(crate) const FDS_NONE_LEFT: &str = "none left";
}

/// Every signal that is decided on: pools first, then edges, queues, and resources.
pub const SIGNALS: &[&Signal] = &[
    &pool::EXHAUSTED,
    &pool::NEAR_LIMIT,
    &pool::REFUSED,
    &edge_errors::SIGNAL,
    &abandoned_work::SIGNAL,
    &hung_request::SIGNAL,
    &accept_queue::SIGNAL,
    &receive_queue::SIGNAL,
    &client_stall::SIGNAL,
    &listen_overflow::SIGNAL,
    &peer_not_reading::SIGNAL,
    &send_limited::SIGNAL,
    &ports_exhausted::SIGNAL,
    &cpu_throttled::SIGNAL,
    &cpu_wait::SIGNAL,
    &pressure::SIGNAL,
    &fds_exhausted::SIGNAL,
    &host_limits::CONNTRACK_FULL,
    &host_limits::TIME_WAIT,
    &host_limits::TCP_MEMORY,
    &host_limits::UDP_QUEUE,
    &unix_queue::SIGNAL,
];

/// One for each row of `SIGNALS`, in its order.
pub(crate) fn evaluators(learning: Learning) -> Vec<Box<dyn Evaluator>> {
    vec![
        Box::new(PoolExhausted::new(learning)),
        Box::new(PoolNearLimit::default()),
        Box::new(PoolRefused::new(learning)),
        Box::new(EdgeErrors::new(learning)),
        Box::new(AbandonedWork::new(learning)),
        Box::new(HungRequest::new(learning)),
        Box::new(AcceptQueueEvaluator::new(learning)),
        Box::new(ReceiveQueue::new(learning)),
        Box::new(ClientStall::new(learning)),
        Box::new(ListenOverflow::default()),
        Box::new(PeerNotReading::new(learning)),
        Box::new(SendLimited),
        Box::new(PortsExhausted::default()),
        Box::new(CpuThrottled::new(learning)),
        Box::new(CpuWait::new(learning)),
        Box::new(PressureStall::new(learning)),
        Box::new(FdsExhausted::default()),
        Box::new(HostLimit::conntrack()),
        Box::new(HostLimit::time_wait()),
        Box::new(HostLimit::tcp_memory()),
        Box::new(HostLimit::udp_queue()),
        Box::new(UnixQueue::default()),
    ]
}
