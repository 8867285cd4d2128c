//! A ctnetlink socket: it stays in the namespace where it was opened.

use std::{
    os::fd::OwnedFd,
    time::{Duration, Instant},
};

use rustix::{
    io::Errno,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recvfrom, sendto, socket_with,
        sockopt::{Timeout, set_socket_timeout},
    },
};

use super::{
    message::{Flow, Reply, Tuple, decode, encode},
    obstacle::Obstacle,
};

/// The kernel answers within the query's own system call, unless it loads a module first.
const PATIENCE: Duration = Duration::from_millis(500);
/// An answer with labels, helpers and a security context has some hundred bytes.
const DATAGRAM: usize = 4096;

pub(super) struct Socket {
    fd: OwnedFd,
    sequence: u32,
    message: Vec<u8>,
    datagram: Box<[u8]>,
}

impl Socket {
    /// Opens one in the network namespace of this thread.
    pub(super) fn open() -> Result<Self, Obstacle> {
        let fd = socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(netlink::NETFILTER))
            .map_err(refused)?;
        set_socket_timeout(&fd, Timeout::Recv, Some(PATIENCE)).map_err(refused)?;
        Ok(Self { fd, sequence: 0, message: Vec::new(), datagram: vec![0; DATAGRAM].into() })
    }

    /// The connection with this original direction, if it is tracked.
    pub(super) fn look_up(&mut self, tuple: &Tuple, zone: u16) -> Result<Option<Flow>, Obstacle> {
        self.sequence = self.sequence.wrapping_add(1);
        encode(tuple, zone, self.sequence, &mut self.message);
        sendto(&self.fd, &self.message, SendFlags::empty(), &netlink::SocketAddrNetlink::new(0, 0)).map_err(refused)?;
        let asked = Instant::now();
        while asked.elapsed() < PATIENCE {
            match self.receive()? {
                // The kernel compares both directions: the tuple is the reply direction of another connection.
                Reply::Flow(flow) if flow.original != *tuple => return Ok(None),
                Reply::Flow(flow) => return Ok(Some(flow)),
                Reply::Refused(Errno::NOENT) => return Ok(None),
                Reply::Refused(error) => return Err(refused(error)),
                Reply::Nothing => {}
            }
        }
        Err(Obstacle::TimedOut)
    }

    /// The next datagram, if the kernel is its sender: its port is 0.
    fn receive(&mut self) -> Result<Reply, Obstacle> {
        let (_, length, sender) =
            recvfrom(&self.fd, &mut *self.datagram, RecvFlags::TRUNC).map_err(|error| match error {
                Errno::AGAIN => Obstacle::TimedOut,
                error => refused(error),
            })?;
        let sender = sender.and_then(|sender| netlink::SocketAddrNetlink::try_from(sender).ok());
        if sender.is_none_or(|sender| sender.pid() != 0) {
            return Ok(Reply::Nothing);
        }
        let datagram = self.datagram.get(..length).ok_or(Obstacle::Garbled)?;
        Ok(decode(datagram, self.sequence))
    }
}

/// The obstacle that an error of the kernel means.
fn refused(error: Errno) -> Obstacle {
    match error {
        Errno::PERM | Errno::ACCESS => Obstacle::MayNotAsk,
        // Without netlink for netfilter, and for connection tracking. The queries themselves are well-formed.
        Errno::PROTONOSUPPORT | Errno::INVAL | Errno::OPNOTSUPP => Obstacle::NoInterface,
        error => Obstacle::Failed(error.raw_os_error()),
    }
}
