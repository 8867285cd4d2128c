//! weir's engine: a stream of inputs in, snapshots out.
//!
//! No I/O, no clock, no way to fail: time arrives in the inputs, and whatever cannot be true is counted rather than
//! refused. What `weir record` stores is exactly this stream, so everything decided here can be decided again.

#![forbid(unsafe_code)]

mod budget;
pub mod catalog;
mod compact;
mod counts;
mod degraded;
mod distribution;
mod ends;
mod engine;
mod fold;
mod host;
mod identity;
mod input;
mod join;
mod names;
mod polled;
mod queues;
mod service;
mod snapshot;
mod totals;
mod view;
mod window;

pub use budget::{Budget, Limits, SPAN_NS, TICK_NS, Usage};
pub use counts::{Counted, Counts};
pub use degraded::{CPU_STEPS, Degradation, Degraded, MEMORY_STEPS, Step};
pub use distribution::{Distribution, bounds_s, middle_s};
pub use engine::{Engine, Gaps};
pub use host::{CgroupView, HostView, ListenerView, NamespaceView, ProcessView, SenderView, UnixView};
pub use identity::{Backend, Identity, Kind, Named, NamedEnd, Service, Short};
pub use input::{AgentCost, Input, Naming, ProbeState, ProgramCost, Started};
pub use polled::{
    BusiestPoll, Busy, CgroupPoll, ConntrackPoll, HalfOpen, Listener, NamespacePoll, NetCounters, Owner, PollMisses,
    Polled, PortUse, PortsPoll, Pressure, ProcessPoll, ReadAt, Sender, SendersPoll, Throttle, UnixListener,
};
pub use queues::AcceptQueueView;
pub use snapshot::{
    Absent, Cost, Coverage, Edge, End, Failure, LittlesLaw, Losses, Process, ServerProcess, Snapshot, program_name,
};
pub use view::{Reused, View};
pub use window::{Cadence, Ended, Schedule, WindowId};
