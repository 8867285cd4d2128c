//! Socket tables by sock_diag: one query, and its answer socket by socket. Only the fixed part of each is read, so nothing is
//! allocated for a socket. TCP's state (`tcp_info`) is queried for single sockets: the kernel takes some microseconds to fill
//! it, and few sockets are worth that.
//!
//! Layouts are those of `linux/netlink.h`, `linux/sock_diag.h` and `linux/inet_diag.h`; all are older than 5.10.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recvfrom, sendto, socket_with,
    sockopt::{Timeout, set_socket_timeout},
};

use super::misses::Miss;

mod tcp_info;
mod unix;

pub(super) use tcp_info::TcpInfo;
pub(super) use unix::UnixSocket;

/// `struct nlmsghdr`, `struct inet_diag_req_v2`, `struct inet_diag_sockid`, `struct inet_diag_msg`.
const HEADER: usize = 16;
const REQUEST: usize = 56;
const ID: usize = 48;
const MESSAGE: usize = 72;
/// The attribute `INET_DIAG_INFO`, and its bit in a request.
const INFO: u16 = 2;
const WITH_INFO: u8 = 1 << (INFO - 1);
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `NLM_F_REQUEST | NLM_F_DUMP`
const DUMP: u16 = 0x301;
/// `NLM_F_REQUEST`
const ONE: u16 = 1;
/// `SOCK_DIAG_BY_FAMILY`
const BY_FAMILY: u16 = 20;
/// States as bits of the request, and as in answers.
pub(super) const LISTENING: u32 = 1 << 10;
/// SYN_RECV: the SYN was answered, no process has the connection yet.
pub(super) const HALF_OPEN: u32 = 1 << 3;
/// All but listening ones, and those of no process.
pub(super) const CONNECTED: u32 = 0xfff & !LISTENING & !(1 << 7) & !1;
const TIME_WAIT: u8 = 6;
/// States with data to send: ESTABLISHED, FIN_WAIT1, CLOSE_WAIT.
pub(super) const SENDING: u32 = 1 << 1 | 1 << 4 | 1 << 8;
/// The kernel fills up to 32 KiB at once.
const DATAGRAM: usize = 32 << 10;
const PATIENCE: Duration = Duration::from_millis(500);

/// A TCP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) is_time_wait: bool,
    /// Of a listener: the length of its accept queue, and the limit.
    pub(super) receive_queue: u32,
    pub(super) send_queue: u32,
    pub(super) inode: u32,
    /// Retransmissions of what it waits for: of a half-open connection, its SYN-ACK.
    pub(super) retransmits: u8,
    /// The family, and `struct inet_diag_sockid`: the key by which the kernel finds the socket.
    id: (u8, [u8; ID]),
}

impl Socket {
    /// Unique among all sockets since boot (`sk_cookie`).
    pub(super) fn cookie(&self) -> u64 {
        u64_at(&self.id.1, 40)
    }
}

/// How a datagram ends.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// More follow.
    More,
    /// That was all.
    Done,
}

/// A netlink socket for queries.
pub(super) struct SockDiag {
    fd: OwnedFd,
    sequence: u32,
    datagram: Box<[u8]>,
}

impl SockDiag {
    /// Opens one in the network namespace of this thread.
    pub(super) fn open() -> Result<Self, Miss> {
        let fd =
            socket_with(AddressFamily::NETLINK, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(netlink::SOCK_DIAG))?;
        set_socket_timeout(&fd, Timeout::Recv, Some(PATIENCE))?;
        Ok(Self { fd, sequence: 0, datagram: vec![0; DATAGRAM].into() })
    }

    /// Calls `take` with each TCP socket in one of these states, until it returns false.
    pub(super) fn each(
        &mut self,
        states: u32,
        until: Instant,
        take: &mut dyn FnMut(Socket) -> bool,
    ) -> Result<(), Miss> {
        for family in [AddressFamily::INET, AddressFamily::INET6] {
            self.ask(&mut request(family.as_raw() as u8, states, &[0; ID], DUMP))?;
            loop {
                let sequence = self.sequence;
                let datagram = self.answer(until)?;
                let mut stopped = false;
                let end = decode(datagram, sequence, &mut |message| {
                    let socket = socket(message).ok_or(Miss::Garbled)?;
                    stopped |= !stopped && !take(socket);
                    Ok(())
                })?;
                if stopped {
                    return Ok(());
                }
                if end == End::Done {
                    break;
                }
            }
        }
        Ok(())
    }

    /// TCP's state of a socket; none if it has been closed.
    pub(super) fn info(&mut self, of: &Socket, until: Instant) -> Result<Option<TcpInfo>, Miss> {
        let (family, id) = &of.id;
        self.ask(&mut request(*family, 0, id, ONE))?;
        let sequence = self.sequence;
        let datagram = self.answer(until)?;
        let mut info = None;
        let answered = decode(datagram, sequence, &mut |message| {
            info = attribute(message.get(MESSAGE..).unwrap_or_default(), INFO).and_then(TcpInfo::read);
            Ok(())
        });
        match answered {
            Err(Miss::NotThere) => Ok(None),
            answered => answered.map(|_| info),
        }
    }

    fn ask(&mut self, request: &mut [u8]) -> Result<(), Miss> {
        self.sequence = self.sequence.wrapping_add(1);
        request[8..12].copy_from_slice(&self.sequence.to_ne_bytes());
        sendto(&self.fd, request, SendFlags::empty(), &netlink::SocketAddrNetlink::new(0, 0))?;
        Ok(())
    }

    /// The kernel's next datagram.
    fn answer(&mut self, until: Instant) -> Result<&[u8], Miss> {
        loop {
            if Instant::now() >= until {
                return Err(Miss::OutOfTime);
            }
            let (_, length, sender) = recvfrom(&self.fd, &mut *self.datagram, RecvFlags::TRUNC)?;
            let sender = sender.and_then(|sender| netlink::SocketAddrNetlink::try_from(sender).ok());
            if sender.is_some_and(|sender| sender.pid() == 0) {
                return self.datagram.get(..length).ok_or(Miss::Garbled);
            }
        }
    }
}

/// All of a query but its sequence number.
fn request(family: u8, states: u32, id: &[u8; ID], flags: u16) -> [u8; HEADER + REQUEST] {
    let mut bytes = [0; HEADER + REQUEST];
    bytes[..4].copy_from_slice(&((HEADER + REQUEST) as u32).to_ne_bytes());
    bytes[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
    bytes[6..8].copy_from_slice(&flags.to_ne_bytes());
    bytes[16] = family;
    bytes[17] = libc::IPPROTO_TCP as u8;
    bytes[18] = if flags == ONE { WITH_INFO } else { 0 };
    bytes[20..24].copy_from_slice(&states.to_ne_bytes());
    bytes[24..].copy_from_slice(id);
    bytes
}

/// Calls `take` with each message about a socket in a datagram that answers this query.
fn decode(datagram: &[u8], sequence: u32, take: &mut dyn FnMut(&[u8]) -> Result<(), Miss>) -> Result<End, Miss> {
    let mut rest = datagram;
    while let Some(header) = rest.get(..HEADER) {
        let length = u32_at(header, 0) as usize;
        let (Some(message), true) = (rest.get(HEADER..length), length >= HEADER) else { return Err(Miss::Garbled) };
        if u32_at(header, 8) == sequence {
            match u16_at(header, 4) {
                NLMSG_DONE => return Ok(End::Done),
                NLMSG_ERROR => return Err(refused(message)),
                BY_FAMILY => take(message)?,
                _ => {}
            }
        }
        // Messages are aligned to four bytes.
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    if rest.is_empty() { Ok(End::More) } else { Err(Miss::Garbled) }
}

fn refused(message: &[u8]) -> Miss {
    let errno = message.get(..4).map_or(0, |bytes| u32_at(bytes, 0)).cast_signed();
    match errno.checked_neg() {
        // The kernel has no sock_diag for this family.
        Some(libc::ENOENT) => Miss::NotThere,
        Some(errno) => std::io::Error::from_raw_os_error(errno).into(),
        None => Miss::Garbled,
    }
}

fn socket(message: &[u8]) -> Option<Socket> {
    let m = message.get(..MESSAGE)?;
    let address = |from: usize, port: usize| {
        let ip = match i32::from(m[0]) {
            libc::AF_INET => IpAddr::from(Ipv4Addr::from(<[u8; 4]>::try_from(&m[from..from + 4]).ok()?)),
            // IPv4 addresses on an IPv6 socket are in their mapped form.
            libc::AF_INET6 => Ipv6Addr::from(<[u8; 16]>::try_from(&m[from..from + 16]).ok()?).to_canonical(),
            _ => return None,
        };
        Some(SocketAddr::from((ip, u16::from_be_bytes([m[port], m[port + 1]]))))
    };
    Some(Socket {
        local: address(8, 4)?,
        remote: address(24, 6)?,
        is_time_wait: m[1] == TIME_WAIT,
        receive_queue: u32_at(m, 56),
        send_queue: u32_at(m, 60),
        inode: u32_at(m, 68),
        retransmits: m[3],
        id: (m[0], m[4..4 + ID].try_into().ok()?),
    })
}

/// The attribute of this kind in a list.
fn attribute(mut attributes: &[u8], wanted: u16) -> Option<&[u8]> {
    while let Some(header) = attributes.get(..4) {
        let length = usize::from(u16_at(header, 0));
        let value = attributes.get(4..length)?;
        if u16_at(header, 2) == wanted {
            return Some(value);
        }
        attributes = attributes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    None
}

/// The caller has checked the length.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    <[u8; 8]>::try_from(&bytes[at..at + 8]).map_or(0, u64::from_ne_bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

#[cfg(test)]
mod tests;
