//! A window of five seconds, as signals read it.

use std::cell::OnceCell;

use weir_engine::Snapshot;

use crate::{
    facts::{
        owners::Owners,
        senders::{self, Flow},
    },
    rules::Rules,
};

/// Decisions are made on windows of this length.
pub const WINDOW_NS: u64 = 5_000_000_000;

/// A time, by both clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Monotonic nanoseconds: the only one that is reckoned with.
    pub monotonic_ns: u64,
    /// Nanoseconds since 1970: only shown.
    pub unix_ns: u64,
}

/// What evaluators look at. Signals that need more than edges add what they read here.
#[derive(Debug)]
pub struct Window<'a> {
    /// Its end.
    pub at: Moment,
    /// The edges in it, by process and address.
    pub snapshot: &'a Snapshot,
    /// By which they are judged.
    pub rules: Rules,
    owners: OnceCell<Owners<'a>>,
    flows: OnceCell<Vec<Flow<'a>>>,
}

impl<'a> Window<'a> {
    /// One that ended then.
    pub fn new(at: Moment, snapshot: &'a Snapshot, rules: Rules) -> Self {
        Self { at, snapshot, rules, owners: OnceCell::new(), flows: OnceCell::new() }
    }

    /// Which service a process is: looked for when somebody asks first.
    pub(crate) fn owners(&self) -> &Owners<'a> {
        self.owners.get_or_init(|| Owners::of(self.snapshot))
    }

    /// Connections that had more to send than they may, each with its edge: looked for likewise.
    pub(crate) fn flows(&self) -> &[Flow<'a>] {
        self.flows.get_or_init(|| senders::flows(self.snapshot))
    }

    /// Its length in seconds; never nothing.
    pub fn seconds(&self) -> f64 {
        self.snapshot.window_ns.max(1) as f64 / 1e9
    }
}
