//! `struct sock` and `struct tcp_sock`.

use core::ffi::c_void;

use aya_ebpf::helpers::generated::bpf_probe_read_kernel;
use weir_ebpf::socket::Positions;

use super::{
    memory::map_v4,
    offsets::{load, offset, probe_read},
    pointer::{Pointer, Typed, Untyped},
};

pub(crate) const AF_INET: u16 = 2;
pub(crate) const AF_INET6: u16 = 10;
pub(super) const IPPROTO_TCP: u16 = 6;
const IPPROTO_UDP: u16 = 17;
/// Bits of `sk_flags` (`enum sock_flags`, unchanged since 2.6) that `sock_orphan` sets, and `tcp_fin`.
const SOCK_DEAD: u64 = 1 << 0;
const SOCK_DONE: u64 = 1 << 1;

pub(crate) const TCP_ESTABLISHED: i32 = 1;
pub(crate) const TCP_SYN_SENT: i32 = 2;
pub(crate) const TCP_SYN_RECV: i32 = 3;
pub(crate) const TCP_FIN_WAIT1: i32 = 4;
pub(crate) const TCP_FIN_WAIT2: i32 = 5;
pub(crate) const TCP_CLOSE: i32 = 7;
pub(crate) const TCP_CLOSE_WAIT: i32 = 8;
pub(crate) const TCP_LAST_ACK: i32 = 9;
pub(crate) const TCP_LISTEN: i32 = 10;

/// Bit of `sk_shutdown`: this end reads no more.
pub(crate) const SHUTDOWN_RECEIVE: u8 = 1;
/// `sk_shutdown` of a socket closed in both directions.
pub(crate) const SHUTDOWN_BOTH: u8 = 3;

/// `struct sock`.
#[derive(Clone, Copy)]
pub(crate) struct Sock<P: Pointer = Typed>(pub(crate) P);

impl<P: Pointer> Sock<P> {
    #[inline(always)]
    pub(crate) fn is_tcp(self) -> bool {
        let family = load!(self.0, skc_family, u16);
        (family == AF_INET || family == AF_INET6) && load!(self.0, sk_protocol, u16) == IPPROTO_TCP
    }

    #[inline(always)]
    pub(crate) fn is_udp(self) -> bool {
        let family = load!(self.0, skc_family, u16);
        (family == AF_INET || family == AF_INET6) && load!(self.0, sk_protocol, u16) == IPPROTO_UDP
    }

    #[inline(always)]
    pub(crate) fn state(self) -> i32 {
        i32::from(load!(self.0, skc_state, u8))
    }

    /// The local port, host order; 0 once the socket let go of it.
    #[inline(always)]
    pub(crate) fn local_port(self) -> u16 {
        load!(self.0, skc_num, u16)
    }

    /// The source port, host order; it stays readable when `local_port` is gone.
    #[inline(always)]
    pub(crate) fn source_port(self) -> u16 {
        self.tcp().map_or(0, |tcp| u16::from_be(load!(tcp.0, inet_sport, u16)))
    }

    /// The remote port, host order.
    #[inline(always)]
    pub(crate) fn remote_port(self) -> u16 {
        u16::from_be(load!(self.0, skc_dport, u16))
    }

    /// The pending error, positive.
    #[inline(always)]
    pub(crate) fn error(self) -> i32 {
        load!(self.0, sk_err, i32)
    }

    /// Whether the peer's FIN has arrived: it occupies a sequence number, but is not a byte.
    #[inline(always)]
    pub(crate) fn fin_received(self) -> bool {
        load!(self.0, skc_flags, u64) & SOCK_DONE != 0
    }

    /// Whether no process holds the socket any more: it has been closed, and no thread is in a call on it.
    #[inline(always)]
    pub(crate) fn is_dead(self) -> bool {
        load!(self.0, skc_flags, u64) & SOCK_DEAD != 0
    }

    /// Of a listening socket: connections that wait to be accepted.
    #[inline(always)]
    pub(crate) fn ack_backlog(self) -> u32 {
        load!(self.0, sk_ack_backlog, u32)
    }

    /// Of a listening socket: the backlog, which limits them.
    #[inline(always)]
    pub(crate) fn max_ack_backlog(self) -> u32 {
        load!(self.0, sk_max_ack_backlog, u32)
    }

    #[inline(always)]
    pub(crate) fn shutdown(self) -> u8 {
        load!(self.0, sk_shutdown, u8)
    }

    #[inline(always)]
    pub(crate) fn netns(self) -> u32 {
        let net = self.0.follow(offset!(skc_net));
        if net.address().is_null() { 0 } else { load!(net, net_inum, u32) }
    }

    #[inline(always)]
    pub(crate) fn remote_address(self, into: &mut [u8; 16]) {
        match load!(self.0, skc_family, u16) {
            AF_INET => map_v4(load!(self.0, skc_daddr, u32), into),
            _ => self.read_v6(offset!(skc_v6_daddr), into),
        }
    }

    #[inline(always)]
    pub(crate) fn local_address(self, into: &mut [u8; 16]) {
        match load!(self.0, skc_family, u16) {
            AF_INET => map_v4(load!(self.0, skc_rcv_saddr, u32), into),
            _ => self.read_v6(offset!(skc_v6_rcv_saddr), into),
        }
    }

    #[inline(always)]
    fn read_v6(self, offset: usize, into: &mut [u8; 16]) {
        let from = self.0.address().wrapping_byte_add(offset);
        // SAFETY: the destination is 16 bytes; the helper checks the source.
        unsafe { bpf_probe_read_kernel(into.as_mut_ptr().cast(), 16, from) };
    }

    /// Whether data waits to be read.
    #[inline(always)]
    pub(crate) fn has_unread(self) -> bool {
        load!(self.0, sk_receive_queue_len, u32) != 0
    }

    /// The port that the newest unread datagram of a UDP socket came from, host order; 0 where there is none.
    #[inline(always)]
    pub(crate) fn newest_source_port(self) -> u16 {
        if !self.has_unread() {
            return 0;
        }
        let newest = self.0.follow(offset!(sk_receive_queue_last));
        let header = load!(newest, skb_head, u64).wrapping_add(u64::from(load!(newest, skb_transport_header, u16)));
        // The header's first field. If a reader has emptied the queue meanwhile, `newest` is no buffer, and the read fails.
        probe_read(header as *const u16).map_or(0, u16::from_be)
    }

    /// `Tcp::last_packet_ns`; 0 for what is not a TCP socket.
    #[inline(always)]
    pub(crate) fn last_packet_ns(self) -> u64 {
        self.tcp().map_or(0, Tcp::last_packet_ns)
    }

    /// `Tcp::srtt_us`; 0 for what is not a TCP socket.
    #[inline(always)]
    pub(crate) fn srtt_us(self) -> u32 {
        self.tcp().map_or(0, Tcp::srtt_us)
    }

    /// The same in nanoseconds.
    #[inline(always)]
    pub(crate) fn srtt_ns(self) -> u64 {
        u64::from(self.srtt_us()) * 1000
    }

    #[inline(always)]
    pub(crate) fn tcp(self) -> Option<Tcp<P>> {
        self.0.tcp_sock().map(Tcp)
    }

    /// The socket of a `struct socket`.
    #[inline(always)]
    pub(crate) fn of_socket(socket: P) -> Self {
        Self(socket.follow(offset!(socket_sk)))
    }

    /// Its address, for keys.
    #[inline(always)]
    pub(crate) fn address(self) -> u64 {
        self.0.address() as u64
    }
}

/// `struct tcp_sock`.
#[derive(Clone, Copy)]
pub(crate) struct Tcp<P: Pointer = Typed>(P);

impl<P: Pointer> Tcp<P> {
    /// Smoothed round trip, microseconds.
    #[inline(always)]
    pub(crate) fn srtt_us(self) -> u32 {
        load!(self.0, srtt_us, u32) >> 3
    }

    #[inline(always)]
    pub(crate) fn total_retrans(self) -> u32 {
        load!(self.0, total_retrans, u32)
    }

    /// Segments sent, the SYN included: 0 means that none left.
    #[inline(always)]
    pub(crate) fn segs_out(self) -> u32 {
        load!(self.0, segs_out, u32)
    }

    /// The next sequence number expected: at ESTABLISHED, where reading will start.
    #[inline(always)]
    pub(crate) fn rcv_nxt(self) -> u32 {
        load!(self.0, rcv_nxt, u32)
    }

    /// Sequence numbers received and not read, the FIN's included.
    #[inline(always)]
    pub(crate) fn unread(self) -> u32 {
        self.rcv_nxt().wrapping_sub(self.copied_seq())
    }

    #[inline(always)]
    pub(crate) fn copied_seq(self) -> u32 {
        load!(self.0, copied_seq, u32)
    }

    /// The time of the last packet sent or received on this socket (`tcp_mstamp_refresh`): a clock read that the kernel
    /// has already made.
    #[inline(always)]
    pub(crate) fn last_packet_ns(self) -> u64 {
        load!(self.0, tcp_clock_cache, u64)
    }

    /// Payload bytes sent, without retransmissions.
    #[inline(always)]
    pub(crate) fn bytes_sent(self) -> u64 {
        load!(self.0, bytes_sent, u64).wrapping_sub(load!(self.0, bytes_retrans, u64))
    }

    #[inline(always)]
    pub(crate) fn positions(self) -> Positions {
        Positions {
            snd_una: load!(self.0, snd_una, u32),
            rcv_nxt: load!(self.0, rcv_nxt, u32),
            bytes_acked: load!(self.0, bytes_acked, u64),
            bytes_received: load!(self.0, bytes_received, u64),
        }
    }
}

/// The `struct socket` of a file whose inode is a socket's: it is the file's private data (`sock_from_file`). Socket files of
/// a file system cannot be confused with it, because they cannot be opened.
#[inline(always)]
pub(crate) fn socket_of_file(file: *const c_void) -> Option<Untyped> {
    const S_IFMT: u16 = 0o170_000;
    const S_IFSOCK: u16 = 0o140_000;
    let file = Untyped(file);
    let mode = load!(file.follow(offset!(file_inode)), inode_mode, u16);
    if mode & S_IFMT == S_IFSOCK { Some(file.follow(offset!(file_private_data))) } else { None }
}
