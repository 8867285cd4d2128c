//! What a window holds of services, processes, pools and connections: gathered once, read by every signal.
//!
//! ```text
//! Snapshot ─▶ EdgeFacts ─┬▶ servers, callers, pairs   the same edges by server, by caller, by both
//!   edges      one each  ├▶ pools, owners, flows      by process and service; by process; by connection held up
//!                        └▶ ServiceLatency            how long each service takes to answer, against its normal
//! ```

use std::borrow::Cow;

use crate::{
    facts::{
        edges::{EdgeFacts, Groups},
        latency::ServiceLatency,
        owners::Owners,
        pools::Pools,
        senders::Flow,
    },
    learn::baseline::Learning,
    rules::Rules,
    subject::Subject,
    window::Moment,
};
use weir_engine::Snapshot;

pub(crate) mod callees;
pub(crate) mod edges;
pub(crate) mod latency;
pub(crate) mod observed;
pub(crate) mod owners;
pub(crate) mod pools;
pub(crate) mod senders;
pub(crate) mod waits;

/// What a window holds, by subject, each subject once.
pub(crate) type Inputs<'f, T> = Vec<(Cow<'f, Subject>, T)>;

/// A window of five seconds, as signals read it.
#[derive(Debug)]
pub(crate) struct Facts<'a> {
    /// Its end.
    pub(crate) at: Moment,
    /// What the engine saw in it, by process and address.
    pub(crate) snapshot: &'a Snapshot,
    /// The rules to judge by.
    pub(crate) rules: Rules,
    /// What it takes for a value to be known as normal.
    pub(crate) learning: Learning,
    pub(crate) latency: &'a ServiceLatency,
    /// Every edge.
    pub(crate) edges: Vec<EdgeFacts<'a>>,
    /// Edges whose server's end is on this host, by server and port.
    pub(crate) servers: Groups<'a>,
    /// Edges whose client's end is on this host, by calling service.
    pub(crate) callers: Groups<'a>,
    /// Every edge, by the services at its ends and the server's port.
    pub(crate) pairs: Groups<'a>,
    pub(crate) pools: Pools<'a>,
    pub(crate) owners: Owners<'a>,
    /// Connections that had more to send than they may.
    pub(crate) flows: Vec<Flow<'a>>,
}

impl<'a> Facts<'a> {
    /// Those of a window that ended at `at`. `edges` and `latency` are of the same snapshot.
    pub(crate) fn of(
        at: Moment,
        snapshot: &'a Snapshot,
        edges: Vec<EdgeFacts<'a>>,
        latency: &'a ServiceLatency,
        (rules, learning): (Rules, Learning),
    ) -> Self {
        Self {
            at,
            snapshot,
            rules,
            learning,
            latency,
            servers: edges::by_server(&edges),
            callers: edges::by_caller(&edges),
            pairs: edges::by_pair(&edges),
            pools: Pools::of(&edges, snapshot.window_ns),
            owners: Owners::of(snapshot),
            flows: senders::flows(snapshot),
            edges,
        }
    }

    /// Edges by server and port, as a signal takes them.
    pub(crate) fn by_server(&self) -> Inputs<'_, &[EdgeFacts<'a>]> {
        inputs(&self.servers)
    }

    /// By calling service.
    pub(crate) fn by_caller(&self) -> Inputs<'_, &[EdgeFacts<'a>]> {
        inputs(&self.callers)
    }

    /// By the services at both ends.
    pub(crate) fn by_pair(&self) -> Inputs<'_, &[EdgeFacts<'a>]> {
        inputs(&self.pairs)
    }

    /// The window's end, monotonic nanoseconds.
    pub(crate) fn now_ns(&self) -> u64 {
        self.at.monotonic_ns
    }

    /// Its length.
    pub(crate) fn window_ns(&self) -> u64 {
        self.snapshot.window_ns
    }

    /// Its length in seconds, never 0.
    pub(crate) fn seconds(&self) -> f64 {
        self.snapshot.window_ns.max(1) as f64 / 1e9
    }
}

fn inputs<'f, 'a>(groups: &'f Groups<'a>) -> Inputs<'f, &'f [EdgeFacts<'a>]> {
    groups.iter().map(|(subject, edges)| (Cow::Borrowed(subject), &**edges)).collect()
}
