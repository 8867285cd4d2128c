//! Every way to receive.

use std::{
    io::{self, Read as _},
    net::TcpStream,
    os::fd::AsRawFd as _,
    ptr,
};

use crate::{serve::pipe, uring};

const CHUNK: usize = 64 << 10;

/// A way to receive.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    Read,
    Readv,
    Recvmsg,
    /// Looks at everything before reading it.
    Peek,
    /// Has the kernel throw the data away (`MSG_TRUNC`).
    Truncate,
    /// Into a pipe: passes no socket-layer receive hook.
    Splice,
    Uring,
}

impl Way {
    pub(crate) fn named(name: &str) -> Self {
        match name {
            "read" => Self::Read,
            "readv" => Self::Readv,
            "recvmsg" => Self::Recvmsg,
            "peek" => Self::Peek,
            "truncate" => Self::Truncate,
            "splice" => Self::Splice,
            "uring" => Self::Uring,
            _ => panic!("no way to receive is called {name:?}"),
        }
    }
}

/// Receives `bytes`, or until the far end stops sending.
pub(crate) fn all(way: Way, stream: &TcpStream, bytes: usize) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    match way {
        Way::Read => each(bytes, || (&*stream).read(&mut buffer)),
        Way::Readv => each(bytes, || readv(stream, &mut buffer)),
        Way::Recvmsg => each(bytes, || recvmsg(stream, &mut buffer)),
        Way::Peek => each(bytes, || {
            recv(stream, &mut buffer, libc::MSG_PEEK)?;
            recv(stream, &mut buffer, 0)
        }),
        Way::Truncate => each(bytes, || recv(stream, &mut buffer, libc::MSG_TRUNC)),
        Way::Splice => splice(stream, &mut buffer, bytes),
        Way::Uring => {
            let mut ring = uring::Ring::new()?;
            each(bytes, || ring.receive(stream, &mut buffer))
        }
    }
}

fn each(bytes: usize, mut receive: impl FnMut() -> io::Result<usize>) -> io::Result<()> {
    let mut left = bytes;
    while left > 0 {
        match receive()? {
            0 => break,
            n => left = left.saturating_sub(n),
        }
    }
    Ok(())
}

fn recv(stream: &TcpStream, buffer: &mut [u8], flags: i32) -> io::Result<usize> {
    // SAFETY: the buffer is live and of the stated length.
    count(unsafe { libc::recv(stream.as_raw_fd(), buffer.as_mut_ptr().cast(), buffer.len(), flags) })
}

fn parts(buffer: &mut [u8]) -> [libc::iovec; 2] {
    let (left, right) = buffer.split_at_mut(1000);
    [left, right].map(|part| libc::iovec { iov_base: part.as_mut_ptr().cast(), iov_len: part.len() })
}

fn readv(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let parts = parts(buffer);
    // SAFETY: both parts point into the live buffer.
    count(unsafe { libc::readv(stream.as_raw_fd(), parts.as_ptr(), 2) })
}

fn recvmsg(stream: &TcpStream, buffer: &mut [u8]) -> io::Result<usize> {
    let mut parts = parts(buffer);
    // SAFETY: a plain C structure, for which all zeroes is a value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = parts.as_mut_ptr();
    message.msg_iovlen = 2;
    // SAFETY: both parts point into the live buffer.
    count(unsafe { libc::recvmsg(stream.as_raw_fd(), &raw mut message, 0) })
}

fn splice(stream: &TcpStream, buffer: &mut [u8], bytes: usize) -> io::Result<()> {
    let (mut out, into) = pipe()?;
    each(bytes, || {
        // SAFETY: two own descriptors, no offsets.
        let moved = count(unsafe {
            libc::splice(stream.as_raw_fd(), ptr::null_mut(), into.as_raw_fd(), ptr::null_mut(), CHUNK, 0)
        })?;
        let mut left = moved;
        while left > 0 {
            left -= out.read(buffer)?;
        }
        Ok(moved)
    })
}

/// A system call's result as a count.
pub(crate) fn count(result: isize) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}
