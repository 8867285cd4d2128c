//! Name servers' replies to processes: which reads are replies, and their bytes for user space, which parses them.
//!
//! Replies are copied from the reader's memory after the read, not from the packet as it arrives: there the reply is
//! contiguous, however the network card laid it out, and the running process is the one that asked. The port that it came from
//! is known from the socket if it is connected, as glibc's, Go's and c-ares's are; for others (musl's) the arrival notes the
//! socket.

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use weir_abi::{Counter, DNS_LONG, DNS_SHORT, DnsReply, EventKind};

use crate::{
    atomic::add,
    counters::count,
    event::{self, Wake},
    kernel::{self, Sock, Task, pointer::Pointer, registers::Call},
    maps::{DNS_RATE, DNS_SOCKETS},
};

const DNS: u16 = 53;
/// The length of a header: what is shorter is no message, or the length field before one in a stream.
const SHORTEST: u32 = 12;
/// In the first byte of a header's flags: it is a reply; in the second: its error.
const IS_REPLY: u8 = 0x80;
const RCODE: u8 = 0x0f;
/// At most this many replies a second are emitted. A quarter of the ring wakes the reader; with 272 bytes for most replies and
/// 1,280 for the longest, at worst half of the ring is full before it reads. Reading them costs 0.3% of a processor.
const MAX_PER_SECOND: u64 = 500;
const SECOND_NS: u64 = 1_000_000_000;

/// A datagram, or anything else, arrived at a socket that has no record. In softirq.
#[inline(always)]
pub(crate) fn arrived(sk: Sock<impl Pointer>) {
    if sk.is_udp() && sk.remote_port() == 0 {
        note(sk);
    }
}

/// Notes an unconnected socket if this datagram came from a name server.
#[inline(always)]
fn note(sk: Sock<impl Pointer>) {
    // SAFETY: only the presence is used.
    if sk.newest_source_port() == DNS && unsafe { DNS_SOCKETS.get(sk.address()) }.is_none() {
        let _ = DNS_SOCKETS.insert(sk.address(), 1u32, 0);
    }
}

/// A process read `bytes` from a socket that has no record.
#[inline(always)]
pub(crate) fn received(sk: Sock<impl Pointer>, bytes: u32) {
    if sk.is_udp() {
        if bytes >= SHORTEST && is_name_servers(sk) {
            emit(bytes, false);
        }
    } else if sk.is_tcp() {
        received_by_tcp(sk, bytes);
    }
}

/// The same for a TCP socket.
#[inline(always)]
pub(crate) fn received_by_tcp(sk: Sock<impl Pointer>, bytes: u32) {
    if sk.remote_port() == DNS && bytes >= SHORTEST {
        emit(bytes, true);
    }
}

#[inline(always)]
fn is_name_servers(sk: Sock<impl Pointer>) -> bool {
    match sk.remote_port() {
        // SAFETY: only the presence is used.
        0 => unsafe { DNS_SOCKETS.get(sk.address()) }.is_some(),
        port => port == DNS,
    }
}

/// Emits what the current system call has read, if it may be an answer.
#[inline(never)]
fn emit(length: u32, stream: bool) {
    let Some((buffer, contiguous)) = Call::current().and_then(|call| call.moved(length)) else {
        count(Counter::DnsRepliesUnread);
        return;
    };
    if contiguous < SHORTEST {
        count(Counter::DnsRepliesUnread);
        return;
    }
    // In a stream the boundaries of messages are unknown.
    if !stream && !Header::read(buffer).is_some_and(Header::has_answers) {
        return;
    }
    let now = kernel::now();
    if !is_within_rate(now) {
        count(Counter::DnsRepliesDropped);
        return;
    }
    let reply = Reply { at_ns: now, buffer, length: contiguous, stream };
    if contiguous as usize <= DNS_SHORT {
        reply.emit::<DNS_SHORT>();
    } else {
        reply.emit::<DNS_LONG>();
    }
}

/// The first two thirds of a message's header, up to the number of answers.
#[derive(Clone, Copy)]
struct Header(u64);

impl Header {
    /// False for questions to a server whose client sends from this port too, and for empty and failed replies: the majority in
    /// a cluster, where each lookup tries a list of domains.
    #[inline(always)]
    fn has_answers(self) -> bool {
        let [_, _, flags, more_flags, _, _, answers, more_answers] = self.0.to_ne_bytes();
        flags & IS_REPLY != 0 && more_flags & RCODE == 0 && answers | more_answers != 0
    }

    #[inline(always)]
    fn read(buffer: u64) -> Option<Self> {
        let mut header = 0u64;
        // SAFETY: the destination is a live local of 8 bytes; the helper checks the source.
        let failed = unsafe { bpf_probe_read_user((&raw mut header).cast(), 8, buffer as *const _) } != 0;
        if failed { None } else { Some(Self(header)) }
    }
}

/// Two processors at once may emit a few more.
#[inline(always)]
fn is_within_rate(now: u64) -> bool {
    let Some(rate) = DNS_RATE.get_ptr_mut(0) else { return false };
    // SAFETY: fields of a live map value.
    unsafe {
        if now.wrapping_sub(core::ptr::read_volatile(&raw const (*rate).since_ns)) >= SECOND_NS {
            core::ptr::write_volatile(&raw mut (*rate).since_ns, now);
            core::ptr::write_volatile(&raw mut (*rate).emitted, 0);
        }
        add(&raw mut (*rate).emitted, 1);
        core::ptr::read_volatile(&raw const (*rate).emitted) <= MAX_PER_SECOND
    }
}

struct Reply {
    at_ns: u64,
    /// In the process's memory.
    buffer: u64,
    length: u32,
    stream: bool,
}

impl Reply {
    #[inline(always)]
    fn emit<const N: usize>(self) {
        let task = Task::current();
        let copied = if self.length as usize > N { N } else { self.length as usize };
        // SAFETY: reserved memory of this type; every field but the end of the last is written, and the helper checks the
        // source.
        event::emit_if(EventKind::DnsReply, Wake::BeforeFull, |reply: *mut DnsReply<N>| unsafe {
            let bytes = (&raw mut (*reply).bytes).cast::<u8>();
            if bpf_probe_read_user(bytes.cast(), copied as u32, self.buffer as *const _) != 0 {
                count(Counter::DnsRepliesUnread);
                return false;
            }
            (&raw mut (*reply).at_ns).write(self.at_ns);
            (&raw mut (*reply).process_start_ns).write(task.start_ns());
            (&raw mut (*reply).cgroup_id).write(task.cgroup_id().unwrap_or(0));
            (&raw mut (*reply).tgid).write(task.tgid());
            (&raw mut (*reply).length).write(if self.length > 0xffff { 0xffff } else { self.length as u16 });
            (&raw mut (*reply).stream).write(u16::from(self.stream));
            count(Counter::DnsRepliesEmitted);
            true
        });
    }
}
