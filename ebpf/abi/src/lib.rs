//! What the kernel half and the user half agree on: records, map keys, indices of counters, names of probes.
//!
//! Layout and names only. Every record is `repr(C)` with explicit padding and plain integers, so that any bit pattern is a
//! valid value; addresses are network-order byte arrays with IPv4 in its IPv6-mapped form.

#![no_std]
#![forbid(unsafe_code)]

mod accept_queue;
mod control;
mod counter;
mod edge;
mod event;
mod features;
mod histogram;
mod indexed;
mod offsets;
mod outcome;
mod probe;

pub use accept_queue::{AcceptQueue, FILL_BUCKETS, ListeningPort};
pub use control::Control;
pub use counter::{Counter, N_COUNTERS};
pub use edge::{
    CGROUP_ROOT, CGROUP_V1, CLOSED_EARLY_NS, COMM_LEN, EXE_LEN, EdgeKey, EdgeRecord, FIRST_SLOT, IDLE_BUCKETS,
    IDLE_MIN_EXPONENT, InFlight, OTHER_CLIENT, OTHER_SERVER_LOCAL, OTHER_SERVER_REMOTE, ROLE_CLIENT, ROLE_NONE,
    ROLE_SERVER, SLOT_FREE, SLOT_LIVE, THREADS_EXPONENT,
};
pub use event::{CGROUP_PATH_LEN, CgroupMade, ConnectFailed, DNS_LONG, DNS_SHORT, DnsReply, Event, EventKind, NewEdge};
pub use features::Features;
pub use histogram::{BUCKETS, Histogram, MIN_EXPONENT, OCTAVES, SCALE, UNIT_EXPONENT};
pub use offsets::Offsets;
pub use outcome::{ConnectOutcome, N_CONNECT_OUTCOMES, N_SOCKET_ERRORS, SocketError};
pub use probe::ProbeName;
