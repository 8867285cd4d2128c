//! The ring's events, decoded. Items of an unknown kind or length are skipped.

use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{MapData, RingBuf},
};
use weir_abi::{self as abi, CgroupMade, ConnectFailed, DNS_LONG, DNS_SHORT, Event, EventKind, NewEdge};
use weir_names::dns::DnsReply;

/// The kernel half's `EVENTS`.
pub(super) struct Ring(RingBuf<MapData>);

/// One event.
pub(super) enum RingEvent {
    /// An example of a failed connect.
    ConnectFailed(ConnectFailed),
    /// A slot has a new edge.
    NewEdge(u32),
    /// A new cgroup. On the heap, since it is seven times as long as the other events, and as rare as containers.
    CgroupMade(Box<CgroupMade>),
    /// A process has read a name server's reply.
    DnsReply(DnsReply),
}

impl Ring {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self> {
        Ok(Self(RingBuf::try_from(ebpf.take_map("EVENTS").context("the object has no map EVENTS")?)?))
    }

    /// A descriptor that becomes readable when the kernel half wakes its reader.
    pub(super) fn descriptor(&self) -> Result<OwnedFd> {
        use std::os::fd::AsRawFd as _;
        // SAFETY: the ring's own descriptor, open as long as the ring, borrowed for the duplication only.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(self.0.as_raw_fd()) };
        fd.as_fd().try_clone_to_owned().context("duplicate the ring's descriptor")
    }

    /// The next event, if there is one.
    pub(super) fn next(&mut self) -> Option<RingEvent> {
        loop {
            let item = self.0.next()?;
            if let Some(event) = decode(&item) {
                return Some(event);
            }
        }
    }
}

fn decode(item: &[u8]) -> Option<RingEvent> {
    let kind = u64::from_ne_bytes(item.get(..8)?.try_into().ok()?);
    match EventKind::numbered(kind)? {
        EventKind::ConnectFailed => body(item).map(RingEvent::ConnectFailed),
        EventKind::NewEdge => body(item).map(|NewEdge { slot, .. }| RingEvent::NewEdge(slot)),
        EventKind::CgroupMade => body(item).map(|made| RingEvent::CgroupMade(Box::new(made))),
        EventKind::DnsReply => body::<abi::DnsReply<DNS_SHORT>>(item)
            .map(|reply| DnsReply::from(&reply))
            .or_else(|| body::<abi::DnsReply<DNS_LONG>>(item).map(|reply| DnsReply::from(&reply)))
            .map(RingEvent::DnsReply),
    }
}

/// The body of an event of a record type of `weir_abi`, all of which are plain integers.
fn body<T: Copy>(item: &[u8]) -> Option<T> {
    if item.len() != size_of::<Event<T>>() {
        return None;
    }
    // SAFETY: the length is right, and every bit pattern is a valid record of plain integers.
    Some(unsafe { std::ptr::read_unaligned(item.as_ptr().cast::<Event<T>>()) }.body)
}
