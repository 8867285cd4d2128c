//! weir's engine: a stream of inputs in, snapshots out.
//!
//! No I/O, no clock, no way to fail: time arrives in the inputs, and whatever cannot be true is counted rather than
//! refused. What `weir record` stores is exactly this stream, so everything decided here can be decided again.

#![forbid(unsafe_code)]

mod budget;
pub mod catalog;
mod degraded;
mod edge;
mod engine;
mod identity;
mod input;
mod polled;
mod snapshot;
mod state;
mod window;

pub use budget::{Budget, Limits, SPAN_NS, TICK_NS, Usage};
pub use degraded::{CPU_STEPS, Degradation, Degraded, MEMORY_STEPS, Step};
pub use edge::counts::{Counted, Counts};
pub use edge::distribution::{Distribution, bounds_s, middle_s};
pub use edge::view::{LittlesLaw, Reused, View};
pub use engine::{Engine, Gaps};
pub use identity::{Backend, Identity, Kind, Named, NamedEnd, Service, Short};
pub use input::{AgentCost, Input, Machine, Naming, ProbeState, ProgramCost, Started};
pub use polled::{
    BusiestPoll, Busy, CgroupPoll, ConntrackPoll, HalfOpen, Listener, NamespacePoll, NetCounters, Owner, PollMisses,
    Polled, PortUse, PortsPoll, Pressure, ProcessPoll, ReadAt, Sender, SendersPoll, Throttle, UnixListener,
};
pub use snapshot::{
    Absent, Cost, Coverage, Edge, End, Failure, Losses, Process, ServerProcess, Snapshot, program_name,
};
pub use state::host::{CgroupView, HostView, ListenerView, NamespaceView, ProcessView, SenderView, UnixView};
pub use state::queues::AcceptQueueView;
pub use window::{Cadence, Ended, Schedule, WindowId};
