//! Every way to send. Each moves exactly the bytes it is asked to.

use std::{
    fs::File,
    io::{self, Write as _},
    net::TcpStream,
    os::fd::{AsRawFd as _, FromRawFd as _},
    ptr,
};

use crate::{receive::count, serve::pipe, uring};

const CHUNK: usize = 64 << 10;

/// Sends `bytes` by the way of this name.
pub(crate) fn all(way: &str, stream: &TcpStream, bytes: usize) -> io::Result<()> {
    let chunk = vec![b'x'; CHUNK];
    match way {
        "write" => each(bytes, |n| (&*stream).write(&chunk[..n])),
        "writev" => each(bytes, |n| writev(stream, &chunk[..n])),
        "sendto" => each(bytes, |n| send(stream, &chunk[..n], 0)),
        "sendmsg" => each(bytes, |n| sendmsg(stream, &chunk[..n])),
        "sendmmsg" => each(bytes, |n| sendmmsg(stream, &chunk[..n])),
        "corked" => {
            // Small pieces that the kernel joins; the last one pushes them out.
            each(bytes - 1, |n| send(stream, &chunk[..n.min(100)], libc::MSG_MORE))?;
            each(1, |n| send(stream, &chunk[..n], 0))
        }
        "sendfile" => {
            let file = memory_file(bytes)?;
            each(bytes, |n| sendfile(stream, &file, n))
        }
        "splice" => splice(stream, bytes),
        "zerocopy" => zerocopy(stream, &chunk, bytes),
        "uring" => {
            let mut ring = uring::Ring::new()?;
            each(bytes, |n| ring.send(stream, &chunk[..n]))
        }
        "uring-zerocopy" => {
            let mut ring = uring::Ring::new()?;
            each(bytes, |n| ring.send_zerocopy(stream, &chunk[..n]))
        }
        _ => panic!("no way to send is called {way:?}"),
    }
}

/// Calls `step` with at most a chunk until `bytes` have moved.
fn each(bytes: usize, mut step: impl FnMut(usize) -> io::Result<usize>) -> io::Result<()> {
    let mut left = bytes;
    while left > 0 {
        left -= step(left.min(CHUNK))?;
    }
    Ok(())
}

fn send(stream: &TcpStream, data: &[u8], flags: i32) -> io::Result<usize> {
    // SAFETY: the data is live and of the stated length.
    count(unsafe { libc::send(stream.as_raw_fd(), data.as_ptr().cast(), data.len(), flags) })
}

fn parts(data: &[u8]) -> [libc::iovec; 3] {
    let (first, rest) = data.split_at(data.len() / 3);
    let (second, third) = rest.split_at(rest.len() / 2);
    [first, second, third].map(|part| libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() })
}

fn writev(stream: &TcpStream, data: &[u8]) -> io::Result<usize> {
    let parts = parts(data);
    // SAFETY: the parts point into live data, which is only read.
    count(unsafe { libc::writev(stream.as_raw_fd(), parts.as_ptr(), 3) })
}

fn message(parts: &mut [libc::iovec]) -> libc::msghdr {
    // SAFETY: a plain C structure, for which all zeroes is a value.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = parts.as_mut_ptr();
    // `as _`: musl has other integers here.
    message.msg_iovlen = parts.len() as _;
    message
}

fn sendmsg(stream: &TcpStream, data: &[u8]) -> io::Result<usize> {
    let mut parts = parts(data);
    let message = message(&mut parts);
    // SAFETY: the parts point into live data, which is only read.
    count(unsafe { libc::sendmsg(stream.as_raw_fd(), &raw const message, 0) })
}

fn sendmmsg(stream: &TcpStream, data: &[u8]) -> io::Result<usize> {
    let mut parts = parts(data);
    let mut messages =
        parts.each_mut().map(|part| libc::mmsghdr { msg_hdr: message(std::slice::from_mut(part)), msg_len: 0 });
    // SAFETY: three messages whose parts point into live data, which is only read.
    let sent = unsafe { libc::sendmmsg(stream.as_raw_fd(), messages.as_mut_ptr(), 3, 0) };
    let sent = count(sent as isize)?;
    Ok(messages[..sent].iter().map(|message| message.msg_len as usize).sum())
}

fn sendfile(stream: &TcpStream, file: &File, bytes: usize) -> io::Result<usize> {
    // SAFETY: own descriptors; the file's own offset is used.
    count(unsafe { libc::sendfile(stream.as_raw_fd(), file.as_raw_fd(), ptr::null_mut(), bytes) })
}

fn splice(stream: &TcpStream, bytes: usize) -> io::Result<()> {
    let file = memory_file(bytes)?;
    let (out, into) = pipe()?;
    let splice = |from: i32, to: i32, most: usize| {
        // SAFETY: own descriptors, no offsets.
        count(unsafe { libc::splice(from, ptr::null_mut(), to, ptr::null_mut(), most, 0) })
    };
    each(bytes, |_| {
        let moved = splice(file.as_raw_fd(), into.as_raw_fd(), CHUNK)?;
        each(moved, |n| splice(out.as_raw_fd(), stream.as_raw_fd(), n))?;
        Ok(moved)
    })
}

/// Sends without copying, and reads each completion off the error queue.
fn zerocopy(stream: &TcpStream, chunk: &[u8], bytes: usize) -> io::Result<()> {
    let on = 1i32;
    // SAFETY: an option of four bytes.
    let set =
        unsafe { libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_ZEROCOPY, (&raw const on).cast(), 4) };
    count(set as isize)?;
    each(bytes, |n| {
        let sent = send(stream, &chunk[..n], libc::MSG_ZEROCOPY)?;
        completion(stream)?;
        Ok(sent)
    })
}

fn completion(stream: &TcpStream) -> io::Result<()> {
    let mut interest = libc::pollfd { fd: stream.as_raw_fd(), events: 0, revents: 0 };
    // SAFETY: one live pollfd; an error queue that has something to say is always reported.
    count(unsafe { libc::poll(&raw mut interest, 1, 5000) } as isize)?;
    let mut control = [0u64; 32];
    let mut message = message(&mut []);
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    // SAFETY: the control buffer is live and of the stated length.
    count(unsafe { libc::recvmsg(stream.as_raw_fd(), &raw mut message, libc::MSG_ERRQUEUE) }).map(drop)
}

fn memory_file(bytes: usize) -> io::Result<File> {
    // SAFETY: a name that ends with a zero.
    let fd = count(unsafe { libc::memfd_create(c"weir-traffic".as_ptr(), libc::MFD_CLOEXEC) } as isize)?;
    // SAFETY: a descriptor that the kernel has just made for us.
    let file = unsafe { File::from_raw_fd(fd as i32) };
    file.set_len(bytes as u64)?;
    Ok(file)
}
