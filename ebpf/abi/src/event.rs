//! Ring-buffer events: rare things only, at most one a second and edge. Counts live in the edge records.

use crate::EdgeKey;

/// What kind of event it is: the first word of each.
#[repr(u64)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// `ConnectFailed`.
    ConnectFailed = 1,
    /// `NewEdge`: wakes the reader, so that who it is can be asked while the process still lives.
    NewEdge = 2,
}

impl EventKind {
    /// The kind with that number.
    pub const fn numbered(number: u64) -> Option<Self> {
        match number {
            1 => Some(Self::ConnectFailed),
            2 => Some(Self::NewEdge),
            _ => None,
        }
    }
}

/// An event as it lies in the ring.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event<T> {
    /// `EventKind`.
    pub kind: u64,
    /// What happened.
    pub body: T,
}

/// A slot was taken by a new edge.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewEdge {
    /// The slot; its header is complete.
    pub slot: u32,
    #[doc(hidden)]
    pub _pad: u32,
}

/// A connect failed.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectFailed {
    /// Monotonic nanoseconds.
    pub at_ns: u64,
    /// From the SYN (or the call, where no SYN left) to the failure.
    pub after_ns: u64,
    /// The edge.
    pub key: EdgeKey,
    /// `ConnectOutcome`.
    pub outcome: u32,
    /// The error number as the socket or the system call gave it; 0 for a cancelled connect.
    pub errno: i32,
    /// SYNs sent again before the failure.
    pub syn_retransmits: u32,
    #[doc(hidden)]
    pub _pad: u32,
}

const _: () = assert!(size_of::<ConnectFailed>() == 72, "ring records have no implicit padding");
