//! Connections of a namespace with unsent data: limited by the receiver, a buffer or the network.
//!
//! Sockets with data in their send queue are searched for, and TCP's state of each is reported while some of the data has not
//! been sent once. A sender whose data has all been sent is none of these: most hosts have none.

use std::time::Instant;

use weir_engine::{Sender, SendersPoll};

use super::{
    misses::{Miss, Misses},
    namespace::Namespace,
    sock_diag::{SENDING, SockDiag, Socket},
};

/// Where there are more sockets, they are read with the slower polls only: 0.3 us each.
const FEW_SOCKETS: u64 = 1000;
/// Sockets read in one poll: a choice.
const MAX_SOCKETS: usize = 50_000;
/// Sockets whose TCP state is read, those with most data first: some 3 us, and 150 bytes in a recording, each. A choice.
const MAX_SENDERS: usize = 128;

/// Polls the namespace that this thread is in; none where no sender is limited. `sockets`: how many it has in all.
pub(super) fn poll(
    namespace: &Namespace,
    sockets: u64,
    slow: bool,
    until: Instant,
    misses: &mut Misses,
) -> Option<SendersPoll> {
    if sockets > FEW_SOCKETS && !slow {
        return None;
    }
    let mut diag = misses.or_count(SockDiag::open())?;
    let mut candidates = misses.or_count(with_queued_data(&mut diag, until))?;
    candidates.sort_by_key(|socket| (std::cmp::Reverse(socket.send_queue), socket.cookie()));
    misses.add(Miss::SendersOverLimit, candidates.len().saturating_sub(MAX_SENDERS) as u64);
    candidates.truncate(MAX_SENDERS);
    let mut senders = Vec::new();
    for socket in candidates {
        let Some(info) = misses.or_count(diag.info(&socket, until)) else { break };
        senders.extend(info.filter(|info| info.unsent_bytes > 0).map(|info| Sender {
            cookie: socket.cookie(),
            local: socket.local,
            remote: socket.remote,
            queued_bytes: socket.send_queue,
            unsent_bytes: info.unsent_bytes,
            acked_bytes: info.acked_bytes,
            busy_us: info.busy_us,
            receiver_limited_us: info.receiver_limited_us,
            buffer_limited_us: info.buffer_limited_us,
            segments: info.segments_sent,
            retransmitted: info.retransmitted,
            srtt_us: info.srtt_us,
            min_rtt_us: info.min_rtt_us,
        }));
    }
    senders.sort_by_key(|sender| sender.cookie);
    (!senders.is_empty()).then_some(SendersPoll { netns: namespace.inode, senders })
}

fn with_queued_data(diag: &mut SockDiag, until: Instant) -> Result<Vec<Socket>, Miss> {
    let (mut found, mut seen) = (Vec::new(), 0);
    diag.each(SENDING, until, &mut |socket| {
        seen += 1;
        if socket.send_queue > 0 {
            found.push(socket);
        }
        seen < MAX_SOCKETS
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        net::{TcpListener, TcpStream},
        path::Path,
        time::Duration,
    };

    use super::{super::namespace::Home, *};

    #[test]
    fn a_limited_sender_is_reported() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
        let mut sender = TcpStream::connect(listener.local_addr().expect("an address")).expect("connect");
        let mut idle = TcpStream::connect(listener.local_addr().expect("an address")).expect("connect");
        let ((_reader, held_up), _other) = (listener.accept().expect("accept"), listener.accept().expect("accept"));
        idle.write_all(b"little").expect("write");
        sender.set_nonblocking(true).expect("a flag");
        while sender.write(&[0; 1 << 16]).is_ok() {}
        let home = Home::of(Path::new("/proc")).expect("a namespace");
        let namespace = home.enter(Path::new("/proc"), home.inode(), &[]).expect("this one");
        let mut misses = Misses::default();
        let mut look = |sockets, slow| {
            let until = Instant::now() + Duration::from_secs(5);
            let poll = poll(&namespace, sockets, slow, until, &mut misses);
            poll.into_iter()
                .flat_map(|poll| poll.senders)
                .filter(|s| s.remote.port() == listener_port(&listener))
                .count()
        };
        assert_eq!([look(10, false), look(FEW_SOCKETS + 1, false), look(FEW_SOCKETS + 1, true)], [1, 0, 1]);
        assert_ne!(held_up.port(), 0);
        assert_eq!(misses.changed(), None);
    }

    fn listener_port(listener: &TcpListener) -> u16 {
        listener.local_addr().expect("an address").port()
    }
}
