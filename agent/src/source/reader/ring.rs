//! The ring's events, decoded: lengths and kinds that are not ours are passed over.

use std::os::fd::{AsFd as _, OwnedFd};

use anyhow::{Context as _, Result};
use aya::{
    Ebpf,
    maps::{MapData, RingBuf},
};
use weir_abi::{CgroupMade, ConnectFailed, DNS_LONG, DNS_SHORT, DnsReply, Event, EventKind, NewEdge};

use weir_names::dns::{Asker, Told, Transport};

/// The kernel half's `EVENTS`.
pub(super) struct Ring(RingBuf<MapData>);

/// One event.
pub(super) enum Heard {
    /// A connect failed: an example.
    ConnectFailed(ConnectFailed),
    /// A slot has a new edge.
    NewEdge(u32),
    /// A cgroup was made: on the heap, since it is seven times as long as the others, and as rare as containers.
    CgroupMade(Box<CgroupMade>),
    /// A name server told a process something.
    DnsReply(Told),
}

impl Ring {
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self> {
        Ok(Self(RingBuf::try_from(ebpf.take_map("EVENTS").context("the object has no map EVENTS")?)?))
    }

    /// A descriptor that becomes readable when the kernel half wakes its reader.
    pub(super) fn bell(&self) -> Result<OwnedFd> {
        use std::os::fd::AsRawFd as _;
        // SAFETY: the ring's own descriptor, open as long as the ring, borrowed for the duplication only.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(self.0.as_raw_fd()) };
        fd.as_fd().try_clone_to_owned().context("duplicate the ring's descriptor")
    }

    /// The next event, if there is one.
    pub(super) fn next(&mut self) -> Option<Heard> {
        loop {
            let item = self.0.next()?;
            if let Some(heard) = decode(&item) {
                return Some(heard);
            }
        }
    }
}

fn decode(item: &[u8]) -> Option<Heard> {
    let kind = u64::from_ne_bytes(item.get(..8)?.try_into().ok()?);
    match EventKind::numbered(kind)? {
        EventKind::ConnectFailed => body(item).map(Heard::ConnectFailed),
        EventKind::NewEdge => body(item).map(|NewEdge { slot, .. }| Heard::NewEdge(slot)),
        EventKind::CgroupMade => body(item).map(|made| Heard::CgroupMade(Box::new(made))),
        EventKind::DnsReply => body::<DnsReply<DNS_SHORT>>(item)
            .map(|reply| told(&reply))
            .or_else(|| body::<DnsReply<DNS_LONG>>(item).map(|reply| told(&reply)))
            .map(Heard::DnsReply),
    }
}

/// A reply, without the bytes behind its end.
fn told<const N: usize>(reply: &DnsReply<N>) -> Told {
    let DnsReply { at_ns, process_start_ns, cgroup_id, tgid, length, stream, ref bytes } = *reply;
    Told {
        asker: Asker { tgid, start_ns: process_start_ns, cgroup_id },
        transport: if stream == 0 { Transport::Udp } else { Transport::Tcp },
        at_ns,
        bytes: bytes[..usize::from(length).min(N)].into(),
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
