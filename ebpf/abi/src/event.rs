//! Ring-buffer events: rare things only, at most one a second and edge. Counts live in the edge records.

use crate::EdgeKey;

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
