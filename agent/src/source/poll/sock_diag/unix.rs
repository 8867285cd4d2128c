//! Listening UNIX sockets, by `linux/unix_diag.h`: their names, the length of their queues, and the limit.

use std::{sync::Arc, time::Instant};

use super::{BY_FAMILY, DUMP, End, HEADER, LISTENING, Miss, SockDiag, attribute, decode, u32_at};

/// `struct unix_diag_req`, `struct unix_diag_msg`.
const REQUEST: usize = 24;
const MESSAGE: usize = 16;
/// `UDIAG_SHOW_NAME | UDIAG_SHOW_RQLEN`, and their attributes.
const SHOW: u32 = 0x11;
const NAME: u16 = 0;
const QUEUE_LENGTH: u16 = 4;

/// A listening UNIX socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::source::poll) struct UnixSocket {
    /// Its path; an abstract name begins with `@`.
    pub(in crate::source::poll) name: Arc<str>,
    pub(in crate::source::poll) inode: u32,
    pub(in crate::source::poll) backlog: u32,
    pub(in crate::source::poll) max: u32,
}

impl SockDiag {
    /// Calls `take` with each listening UNIX socket that has connections in its queue.
    pub(in crate::source::poll) fn unix_queues(
        &mut self,
        until: Instant,
        take: &mut dyn FnMut(UnixSocket),
    ) -> Result<(), Miss> {
        let mut request = [0; HEADER + REQUEST];
        request[..4].copy_from_slice(&((HEADER + REQUEST) as u32).to_ne_bytes());
        request[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
        request[6..8].copy_from_slice(&DUMP.to_ne_bytes());
        request[16] = libc::AF_UNIX as u8;
        request[20..24].copy_from_slice(&LISTENING.to_ne_bytes());
        request[28..32].copy_from_slice(&SHOW.to_ne_bytes());
        self.ask(&mut request)?;
        loop {
            let sequence = self.sequence;
            let datagram = self.answer(until)?;
            let end = decode(datagram, sequence, &mut |message| {
                read(message).ok_or(Miss::Garbled).map(|socket| socket.into_iter().for_each(&mut *take))
            })?;
            if end == End::Done {
                return Ok(());
            }
        }
    }
}

/// None if the message is malformed; inside, none if the queue is empty.
fn read(message: &[u8]) -> Option<Option<UnixSocket>> {
    let attributes = message.get(MESSAGE..)?;
    let Some(queue) = attribute(attributes, QUEUE_LENGTH).filter(|queue| queue.len() >= 8) else { return Some(None) };
    let backlog = u32_at(queue, 0);
    if backlog == 0 {
        return Some(None);
    }
    let (inode, max) = (u32_at(message, 4), u32_at(queue, 4));
    Some(Some(UnixSocket { name: name(attribute(attributes, NAME).unwrap_or_default()), inode, backlog, max }))
}

/// A path ends with NUL, an abstract name begins with it. Control characters are replaced where names are shown.
fn name(bytes: &[u8]) -> Arc<str> {
    let text = String::from_utf8_lossy(bytes);
    match text.strip_prefix('\0') {
        Some(rest) => format!("@{rest}").into(),
        None => text.trim_end_matches('\0').into(),
    }
}

#[cfg(test)]
mod tests {
    use std::{
        os::{
            linux::net::SocketAddrExt as _,
            unix::net::{SocketAddr, UnixListener, UnixStream},
        },
        time::Duration,
    };

    use super::*;

    #[test]
    fn connections_in_the_queue_of_a_unix_socket_are_counted() {
        let path = std::env::temp_dir().join(format!("weir-unix-{}", std::process::id()));
        let abstract_name = format!("weir-unix-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&abstract_name).expect("an address");
        let listeners = [
            UnixListener::bind(&path).expect("listen"),
            UnixListener::bind_addr(&address).expect("listen"),
            UnixListener::bind(path.with_extension("idle")).expect("listen"),
        ];
        let _waiting =
            [UnixStream::connect(&path).expect("connect"), UnixStream::connect_addr(&address).expect("connect")];
        let mut found = Vec::new();
        let mut diag = SockDiag::open().expect("a socket");
        let until = Instant::now() + Duration::from_secs(5);
        diag.unix_queues(until, &mut |socket| found.push(socket)).expect("the listeners");
        for name in [path.to_str().expect("UTF-8").to_owned(), format!("@{abstract_name}")] {
            let socket =
                found.iter().find(|socket| *socket.name == name).unwrap_or_else(|| panic!("{name}: {found:?}"));
            assert!(socket.backlog == 1 && socket.max >= 1 && socket.inode > 0, "{socket:?}");
        }
        assert!(!found.iter().any(|socket| socket.name.ends_with(".idle")), "an empty queue");
        drop(listeners);
        for file in [path.clone(), path.with_extension("idle")] {
            std::fs::remove_file(file).expect("its file");
        }
    }

    #[test]
    fn no_message_panics() {
        let mut message = vec![0; MESSAGE];
        message.extend([12, 0, 4, 0, 3, 0, 0, 0, 5, 0, 0, 0]);
        message.extend([7, 0, 0, 0, b'/', b'a', 0, 0]);
        let whole = read(&message).flatten().expect("a socket");
        assert_eq!((whole.backlog, whole.max, &*whole.name), (3, 5, "/a"));
        for cut in 0..message.len() {
            let _ = read(&message[..cut]);
        }
    }
}
