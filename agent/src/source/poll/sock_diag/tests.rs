use std::{
    io::Write as _,
    net::{TcpListener, TcpStream},
};

use proptest::prelude::*;

use super::*;

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(5)
}

#[test]
fn this_kernels_listeners_have_their_queue_lengths() {
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
fn it_stops_when_asked_to_and_at_the_deadline() {
    let _listeners: Vec<_> = (0..3).map(|_| TcpListener::bind("127.0.0.1:0").expect("listen")).collect();
    let mut taken = 0;
    let mut first = |_| {
        taken += 1;
        false
    };
    SockDiag::open().expect("a socket").each(LISTENING, soon(), &mut first).expect("one");
    assert_eq!(taken, 1);
    let late = SockDiag::open().expect("a socket").each(LISTENING, Instant::now(), &mut |_| true);
    assert_eq!(late, Err(Miss::OutOfTime));
}

/// A client sends more than all buffers hold to a server that does not read.
#[test]
fn tcp_reports_what_limits_a_sender() {
    for any in ["127.0.0.1:0", "[::1]:0"] {
        let listener = TcpListener::bind(any).expect("listen");
        let mut sender = TcpStream::connect(listener.local_addr().expect("an address")).expect("connect");
        let (_reader, local) = listener.accept().expect("accept");
        sender.set_nonblocking(true).expect("a flag");
        while sender.write(&[0; 1 << 16]).is_ok() {}
        let mut diag = SockDiag::open().expect("a socket");
        let mut found = None;
        let mut keep = |socket: Socket| {
            found = found.or((socket.local == local).then_some(socket));
            true
        };
        diag.each(SENDING, soon(), &mut keep).expect("those that send");
        let socket = found.expect("the sender");
        assert!(socket.send_queue > 0 && socket.cookie() != 0, "{socket:?}");
        std::thread::sleep(Duration::from_millis(300));
        let info = diag.info(&socket, soon()).expect("an answer").expect("a socket");
        assert!(info.unsent_bytes > 0 && info.acked_bytes > 0 && info.segments_sent > 0, "{info:?}");
        assert!(info.busy_us > 200_000 && info.receiver_limited_us * 2 > info.busy_us, "{info:?}");
        drop((sender, _reader));
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(diag.info(&socket, soon()), Ok(None), "gone");
    }
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

/// The end of a datagram, and how many sockets are in it.
fn sockets(datagram: &[u8]) -> (Result<End, Miss>, usize) {
    let mut taken = 0;
    let end = decode(datagram, 1, &mut |message| socket(message).map(|_| taken += 1).ok_or(Miss::Garbled));
    (end, taken)
}

#[test]
fn messages_cut_anywhere_are_no_sockets() {
    let mut body = vec![0; MESSAGE];
    body[0] = libc::AF_INET as u8;
    let whole = [message(BY_FAMILY, 1, &body), message(NLMSG_DONE, 1, &[0; 4])].concat();
    assert_eq!(sockets(&whole), (Ok(End::Done), 1));
    for cut in 1..whole.len() {
        let (end, _) = sockets(&whole[..cut]);
        assert!(end != Ok(End::Done) || cut >= whole.len(), "cut at {cut}: {end:?}");
    }
    assert_eq!(sockets(&message(BY_FAMILY, 1, &body[..MESSAGE - 1])), (Err(Miss::Garbled), 0));
    assert_eq!(sockets(&message(BY_FAMILY, 2, &body[..3])), (Ok(End::More), 0), "another's");
    let refused = message(NLMSG_ERROR, 1, &(-libc::EPERM).to_ne_bytes());
    assert_eq!(sockets(&refused), (Err(Miss::MayNotLook), 0));
    assert_eq!(sockets(&message(NLMSG_ERROR, 1, &i32::MIN.to_ne_bytes())), (Err(Miss::Garbled), 0));
}

proptest! {
    #[test]
    fn no_bytes_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..300), length in 0u32..300, kind in 0u16..25) {
        let _ = sockets(&bytes);
        if bytes.len() >= HEADER {
            bytes[..4].copy_from_slice(&length.to_ne_bytes());
            bytes[4..6].copy_from_slice(&kind.to_ne_bytes());
            bytes[8..12].copy_from_slice(&1u32.to_ne_bytes());
            let _ = sockets(&bytes);
        }
        for kind in 0..4 {
            let _ = attribute(&bytes, kind).and_then(TcpInfo::read);
        }
    }
}
