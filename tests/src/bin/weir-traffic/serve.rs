//! Servers: one thread accepts, one thread per connection serves.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::fd::{AsRawFd as _, FromRawFd as _},
    thread,
    time::Duration,
};

use crate::{arrivals, client, receive};

const STACK: usize = 128 << 10;

/// What a server does with a connection.
#[derive(Clone)]
enum Kind {
    /// Sends back what it reads.
    Echo,
    /// Reads so many bytes by the named way, or to the end, then answers one byte.
    Sink(receive::Way, usize),
    /// Once data is there: waits, reads, waits, answers one byte.
    Slow { before_read: Duration, before_answer: Duration },
    /// HTTP/1.1 with keep-alive: answers each request after a time.
    Http(Duration),
    /// Reads one byte, then closes with a reset.
    Abort,
    /// Closes with data unread, which resets.
    Unread,
    /// Closes at once, having moved no data.
    Untouched,
    /// Closes with a few words, as one that takes no more clients, so long after them.
    Full(Duration),
    /// One after the other: accepts, works so long, answers how long after its connect it was accepted, and closes.
    OneByOne(Duration),
    /// Accepts nothing: the kernel alone completes handshakes, up to so many.
    Deaf,
    /// Sends a line at once, and then another at this interval, without a request.
    Push(Duration),
    /// Reads and never answers.
    Silent,
}

pub(crate) fn run(kind: &str, address: SocketAddr, numbers: &[&str]) -> io::Result<()> {
    let milliseconds = |i: usize| {
        let text = numbers.get(i).unwrap_or_else(|| panic!("{kind} needs number {i}"));
        Duration::from_millis(text.parse().expect("milliseconds"))
    };
    let kind = match kind {
        "echo" => Kind::Echo,
        "slow" => Kind::Slow { before_read: milliseconds(0), before_answer: milliseconds(1) },
        "http" => Kind::Http(milliseconds(0)),
        "abort" => Kind::Abort,
        "unread" => Kind::Unread,
        "untouched" => Kind::Untouched,
        "full" => Kind::Full(milliseconds(0)),
        "one-by-one" => Kind::OneByOne(milliseconds(0)),
        "deaf" => Kind::Deaf,
        "push" => Kind::Push(milliseconds(0)),
        "silent" => Kind::Silent,
        _ => match kind.strip_prefix("sink-") {
            Some(way) => Kind::Sink(receive::Way::named(way), numbers[0].parse().expect("a count")),
            None => panic!("no server of kind {kind:?}"),
        },
    };
    let deaf_backlog = numbers.first().filter(|_| matches!(kind, Kind::Deaf));
    let listener = listen(address, deaf_backlog.map_or(BACKLOG, |backlog| backlog.parse().expect("a count")))?;
    client::say(&format!("ready {}", listener.local_addr()?.port()));
    thread::spawn(move || {
        if matches!(kind, Kind::Deaf) {
            loop {
                thread::park();
            }
        }
        if let Kind::OneByOne(work) = kind {
            listener.incoming().flatten().for_each(|stream| arrivals::serve(stream, work));
        }
        for stream in listener.incoming() {
            let kind = kind.clone();
            let work = move || {
                // The far end may go away at any moment: that is what some tests are about.
                let _ = serve(&kind, stream?);
                io::Result::Ok(())
            };
            thread::Builder::new().stack_size(STACK).spawn(work).expect("start a thread");
        }
    });
    // The test holds the other end of our standard input.
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

/// A burst of connects must not lose a SYN to the queue.
const BACKLOG: i32 = 1024;

/// `TcpListener::bind` with another queue.
fn listen(address: SocketAddr, backlog: i32) -> io::Result<TcpListener> {
    let listener = TcpListener::bind(address)?;
    // SAFETY: a second listen on an own socket sets its queue's length.
    if unsafe { libc::listen(listener.as_raw_fd(), backlog) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(listener)
}

fn serve(kind: &Kind, mut stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    match kind {
        Kind::Echo => echo(&mut stream),
        Kind::Sink(way, bytes) => {
            receive::all(*way, &stream, *bytes)?;
            stream.write_all(b"k")?;
            stream.read(&mut [0]).map(drop)
        }
        Kind::Slow { before_read, before_answer } => slow(&mut stream, *before_read, *before_answer),
        Kind::Http(after) => http(&mut stream, *after),
        Kind::Abort => {
            stream.read_exact(&mut [0])?;
            client::abort(stream)
        }
        Kind::Unread => wait_readable(&stream),
        Kind::Untouched => Ok(()),
        Kind::Full(after) => {
            stream.write_all(b"too many connections")?;
            thread::sleep(*after);
            Ok(())
        }
        Kind::OneByOne(_) | Kind::Deaf => unreachable!("has no threads"),
        Kind::Push(every) => loop {
            stream.write_all(b"news\n")?;
            thread::sleep(*every);
        },
        Kind::Silent => stream.read_to_end(&mut Vec::new()).map(drop),
    }
}

fn echo(stream: &mut TcpStream) -> io::Result<()> {
    let mut buffer = [0; 16 << 10];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            n => stream.write_all(&buffer[..n])?,
        }
    }
}

fn slow(stream: &mut TcpStream, before_read: Duration, before_answer: Duration) -> io::Result<()> {
    loop {
        wait_readable(stream)?;
        thread::sleep(before_read);
        if stream.read(&mut [0; 4096])? == 0 {
            return Ok(());
        }
        thread::sleep(before_answer);
        stream.write_all(b"k")?;
    }
}

fn http(stream: &mut TcpStream, after: Duration) -> io::Result<()> {
    let mut head = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            n => head.extend_from_slice(&buffer[..n]),
        }
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            thread::sleep(after);
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")?;
        }
    }
}

/// Returns once data can be read, without reading it.
fn wait_readable(stream: &TcpStream) -> io::Result<()> {
    let mut interest = libc::pollfd { fd: stream.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    // SAFETY: one live pollfd.
    if unsafe { libc::poll(&raw mut interest, 1, -1) } < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A pipe: read end, write end.
pub(crate) fn pipe() -> io::Result<(std::fs::File, std::fs::File)> {
    let mut ends = [0; 2];
    // SAFETY: an array of two descriptors, as the call wants it.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: descriptors that the kernel has just made for us.
    Ok(unsafe { (std::fs::File::from_raw_fd(ends[0]), std::fs::File::from_raw_fd(ends[1])) })
}
