//! Ring-buffer events: rare things only, at most one a second and edge. Counts live in the edge records.

use crate::EdgeKey;

/// What kind of event it is: the first word of each.
#[repr(u64)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// `ConnectFailed`.
    ConnectFailed = 1,
    /// `NewEdge`: wakes the reader, which reads the process's identity while it still lives.
    NewEdge = 2,
    /// `CgroupMade`: wakes the reader, which reads the container's files while they exist.
    CgroupMade = 3,
    /// `DnsReply`, of either length.
    DnsReply = 4,
}

impl EventKind {
    /// The kind with that number.
    pub const fn numbered(number: u64) -> Option<Self> {
        match number {
            1 => Some(Self::ConnectFailed),
            2 => Some(Self::NewEdge),
            3 => Some(Self::CgroupMade),
            4 => Some(Self::DnsReply),
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

/// A new edge has taken a slot.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewEdge {
    /// The slot; its header is complete.
    pub slot: u32,
    #[doc(hidden)]
    pub _pad: u32,
}

/// Maximum length of a cgroup's path. That of a container in a pod has 190 bytes, in a pod of a node that is itself a container
/// 315. The container's id is at the end, so a truncated path is useless.
pub const CGROUP_PATH_LEN: usize = 512;

/// A cgroup was created, in version 2's hierarchy or the one of version 1 that weir reads.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CgroupMade {
    /// As in an edge's record.
    pub cgroup_id: u64,
    /// Bytes of `path`, without the final NUL; as many as fit where it was truncated, 0 where it could not be read.
    pub length: u32,
    #[doc(hidden)]
    pub _pad: u32,
    /// From the hierarchy's root. The bytes behind `length` are undefined.
    pub path: [u8; CGROUP_PATH_LEN],
}

const _: () = assert!(size_of::<CgroupMade>() == 528, "ring records have no implicit padding");

impl CgroupMade {
    /// The path; none if it was truncated or could not be read.
    pub fn path(&self) -> Option<&[u8]> {
        let length = self.length as usize;
        if length == 0 || length >= CGROUP_PATH_LEN - 1 { None } else { self.path.get(..length) }
    }
}

/// A connect failed.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectFailed {
    /// Monotonic nanoseconds.
    pub at_ns: u64,
    /// From the SYN (or the call, where no SYN left) to the failure, nanoseconds; 0 where the start was not seen.
    pub after_ns: u64,
    /// The edge.
    pub key: EdgeKey,
    /// `ConnectOutcome`.
    pub outcome: u32,
    /// The error number as the socket or the system call gave it; 0 for a cancelled connect.
    pub errno: i32,
    /// Retransmitted SYNs before the failure.
    pub syn_retransmits: u32,
    #[doc(hidden)]
    pub _pad: u32,
}

/// A name server's reply to a process: the process, and the beginning of the message.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DnsReply<const N: usize> {
    /// Monotonic nanoseconds: when it was read.
    pub at_ns: u64,
    /// Start of the process, nanoseconds since boot.
    pub process_start_ns: u64,
    /// Its cgroup in the v2 hierarchy.
    pub cgroup_id: u64,
    /// The process.
    pub tgid: u32,
    /// Bytes that it read, of which the first `N` are here. The rest of `bytes` is undefined.
    pub length: u16,
    /// 0 for a message, 1 for a piece of a TCP stream.
    pub stream: u16,
    /// The bytes.
    pub bytes: [u8; N],
}

/// Long enough for nearly all replies with a few addresses.
pub const DNS_SHORT: usize = 224;
/// The usual maximum of name servers' replies by UDP (DNS flag day 2020).
pub const DNS_LONG: usize = 1232;

const _: () = assert!(size_of::<DnsReply<0>>() == 32, "ring records have no implicit padding");
const _: () = assert!(DNS_SHORT.is_multiple_of(8) && DNS_LONG.is_multiple_of(8), "nor padding at their end");
const _: () = assert!(size_of::<ConnectFailed>() == 72, "ring records have no implicit padding");
