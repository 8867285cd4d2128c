//! Socket tables by sock_diag: one question, and its answer socket by socket. Only the fixed part of each is read, so
//! nothing is allocated for a socket; the attributes after it are none of ours.
//!
//! Layouts are of `linux/netlink.h`, `linux/sock_diag.h` and `linux/inet_diag.h`; all are older than 5.10.

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

/// `struct nlmsghdr`, `struct inet_diag_req_v2`, `struct inet_diag_msg`.
const HEADER: usize = 16;
const REQUEST: usize = 56;
const MESSAGE: usize = 72;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
/// `NLM_F_REQUEST | NLM_F_DUMP`
const DUMP: u16 = 0x301;
/// `SOCK_DIAG_BY_FAMILY`
const BY_FAMILY: u16 = 20;
/// States as bits of the request, and as told.
pub(super) const LISTENING: u32 = 1 << 10;
/// All but those that listen, and those that are nobody's.
pub(super) const CONNECTED: u32 = 0xfff & !LISTENING & !(1 << 7) & !1;
const TIME_WAIT: u8 = 6;
/// The kernel fills up to 32 KiB at once.
const DATAGRAM: usize = 32 << 10;
const PATIENCE: Duration = Duration::from_millis(500);

/// A TCP socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Socket {
    pub(super) local: SocketAddr,
    pub(super) remote: SocketAddr,
    pub(super) is_time_wait: bool,
    /// Of one that listens: what waits for accept, and the limit.
    pub(super) receive_queue: u32,
    pub(super) send_queue: u32,
    pub(super) inode: u32,
}

/// What is in a datagram.
#[derive(Debug, PartialEq, Eq)]
enum End {
    /// More follow.
    More,
    /// That was all.
    Done,
}

/// A socket that asks for others.
pub(super) struct SockDiag {
    fd: OwnedFd,
    sequence: u32,
    datagram: Box<[u8]>,
}

impl SockDiag {
    /// One in the network namespace of this thread.
    pub(super) fn open() -> Result<Self, Miss> {
        let fd =
            socket_with(AddressFamily::NETLINK, SocketType::DGRAM, SocketFlags::CLOEXEC, Some(netlink::SOCK_DIAG))?;
        set_socket_timeout(&fd, Timeout::Recv, Some(PATIENCE))?;
        Ok(Self { fd, sequence: 0, datagram: vec![0; DATAGRAM].into() })
    }

    /// Tells of each TCP socket in one of these states, until that says to stop.
    pub(super) fn each(
        &mut self,
        states: u32,
        until: Instant,
        tell: &mut dyn FnMut(Socket) -> bool,
    ) -> Result<(), Miss> {
        for family in [AddressFamily::INET, AddressFamily::INET6] {
            self.sequence = self.sequence.wrapping_add(1);
            let request = request(family, states, self.sequence);
            sendto(&self.fd, &request, SendFlags::empty(), &netlink::SocketAddrNetlink::new(0, 0))?;
            loop {
                if Instant::now() >= until {
                    return Err(Miss::OutOfTime);
                }
                let (_, length, sender) = recvfrom(&self.fd, &mut *self.datagram, RecvFlags::TRUNC)?;
                let sender = sender.and_then(|sender| netlink::SocketAddrNetlink::try_from(sender).ok());
                if sender.is_none_or(|sender| sender.pid() != 0) {
                    continue;
                }
                let datagram = self.datagram.get(..length).ok_or(Miss::Garbled)?;
                let mut stopped = false;
                let end = decode(datagram, self.sequence, &mut |socket| {
                    stopped |= !stopped && !tell(socket);
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
}

fn request(family: AddressFamily, states: u32, sequence: u32) -> [u8; HEADER + REQUEST] {
    let mut bytes = [0; HEADER + REQUEST];
    bytes[..4].copy_from_slice(&((HEADER + REQUEST) as u32).to_ne_bytes());
    bytes[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
    bytes[6..8].copy_from_slice(&DUMP.to_ne_bytes());
    bytes[8..12].copy_from_slice(&sequence.to_ne_bytes());
    bytes[16] = family.as_raw() as u8;
    bytes[17] = libc::IPPROTO_TCP as u8;
    bytes[20..24].copy_from_slice(&states.to_ne_bytes());
    bytes
}

/// Tells of each socket in a datagram that answers this question.
fn decode(datagram: &[u8], sequence: u32, tell: &mut dyn FnMut(Socket)) -> Result<End, Miss> {
    let mut rest = datagram;
    while let Some(header) = rest.get(..HEADER) {
        let length = u32_at(header, 0) as usize;
        let (Some(message), true) = (rest.get(HEADER..length), length >= HEADER) else { return Err(Miss::Garbled) };
        if u32_at(header, 8) == sequence {
            match u16_at(header, 4) {
                NLMSG_DONE => return Ok(End::Done),
                NLMSG_ERROR => return Err(refused(message)),
                BY_FAMILY => tell(socket(message).ok_or(Miss::Garbled)?),
                _ => {}
            }
        }
        // Messages begin at multiples of four.
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    if rest.is_empty() { Ok(End::More) } else { Err(Miss::Garbled) }
}

fn refused(message: &[u8]) -> Miss {
    let errno = message.get(..4).map_or(0, |bytes| u32_at(bytes, 0)).cast_signed();
    match errno.checked_neg() {
        // No sock_diag for this family.
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
            // Two ends of IPv4 on a socket of IPv6 are IPv4's.
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
    })
}

/// Callers have looked at the length.
fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_ne_bytes([bytes[at], bytes[at + 1]])
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use proptest::prelude::*;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(5)
    }

    #[test]
    fn this_kernels_listeners_say_how_many_wait() {
        for any in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(any).expect("listen");
            let address = listener.local_addr().expect("an address");
            let _clients: Vec<_> = (0..3).map(|_| TcpStream::connect(address).expect("connect")).collect();
            let mut found = Vec::new();
            let mut diag = SockDiag::open().expect("a socket");
            let mut keep = |socket: Socket| {
                if socket.local == address {
                    found.push(socket);
                }
                true
            };
            diag.each(LISTENING, soon(), &mut keep).expect("the listeners");
            assert_eq!(found.iter().map(|s| (s.receive_queue, s.send_queue)).collect::<Vec<_>>(), [(3, 128)]);
            let mut connected = 0;
            let mut count = |socket: Socket| {
                connected += u32::from(socket.remote == address);
                true
            };
            diag.each(CONNECTED, soon(), &mut count).expect("the rest");
            assert_eq!(connected, 3);
        }
    }

    #[test]
    fn it_stops_when_told_to_and_can_be_asked_no_more_than_in_time() {
        let _listeners: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").expect("listen")).collect();
        let mut told = 0;
        let mut first = |_| {
            told += 1;
            false
        };
        SockDiag::open().expect("a socket").each(LISTENING, soon(), &mut first).expect("one");
        assert_eq!(told, 1);
        let late = SockDiag::open().expect("a socket").each(LISTENING, Instant::now(), &mut |_| true);
        assert_eq!(late, Err(Miss::OutOfTime));
    }

    fn message(kind: u16, sequence: u32, body: &[u8]) -> Vec<u8> {
        let mut bytes = ((HEADER + body.len()) as u32).to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 2]);
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(body);
        bytes
    }

    #[test]
    fn messages_cut_anywhere_are_no_sockets() {
        let mut body = vec![0; MESSAGE];
        body[0] = libc::AF_INET as u8;
        let whole = [message(BY_FAMILY, 1, &body), message(NLMSG_DONE, 1, &[0; 4])].concat();
        let mut told = 0;
        assert_eq!(decode(&whole, 1, &mut |_| told += 1), Ok(End::Done));
        assert_eq!(told, 1);
        for cut in 1..whole.len() {
            let end = decode(&whole[..cut], 1, &mut |_| ());
            assert!(end != Ok(End::Done) || cut >= whole.len(), "cut at {cut}: {end:?}");
        }
        assert_eq!(decode(&message(BY_FAMILY, 1, &body[..MESSAGE - 1]), 1, &mut |_| ()), Err(Miss::Garbled));
        assert_eq!(decode(&message(BY_FAMILY, 2, &body[..3]), 1, &mut |_| ()), Ok(End::More), "another's");
        let refused = message(NLMSG_ERROR, 1, &(-libc::EPERM).to_ne_bytes());
        assert_eq!(decode(&refused, 1, &mut |_| ()), Err(Miss::MayNotLook));
        assert_eq!(decode(&message(NLMSG_ERROR, 1, &i32::MIN.to_ne_bytes()), 1, &mut |_| ()), Err(Miss::Garbled));
    }

    proptest! {
        #[test]
        fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), length in 0u32..300, kind in 0u16..25) {
            let _ = decode(&bytes, 1, &mut |_| ());
            if bytes.len() >= HEADER {
                bytes[..4].copy_from_slice(&length.to_ne_bytes());
                bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
                bytes[8..12].copy_from_slice(&1u32.to_ne_bytes());
                let _ = decode(&bytes, 1, &mut |_| ());
            }
        }
    }
}
