//! A client that obeys: one command a line, one line of answer.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream, UdpSocket},
    os::fd::{AsRawFd as _, FromRawFd as _},
    thread,
    time::Duration,
};

use crate::{
    arrivals,
    pool::{self, Use},
    receive::count,
    send,
    swarm::swarm,
};

/// The far end, and the connections held to it (and to earlier far ends).
struct Client {
    to: SocketAddr,
    held: Vec<TcpStream>,
}

pub(crate) fn run(to: SocketAddr) -> io::Result<()> {
    let mut client = Client { to, held: Vec::new() };
    say("ready");
    for line in io::stdin().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = client.obey(&words).unwrap_or_else(|error| format!("failed {error}"));
        say(&answer);
    }
    Ok(())
}

/// Prints a line at once.
pub(crate) fn say(line: &str) {
    let mut out = io::stdout().lock();
    // Fails only when the test has ended, and then the line has no reader.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Connects, sends a byte, waits for it to come back, closes; `n` times.
pub(crate) fn short(to: SocketAddr, n: usize) -> io::Result<()> {
    for _ in 0..n {
        let mut stream = TcpStream::connect(to)?;
        stream.write_all(b"x")?;
        stream.read_exact(&mut [0])?;
    }
    Ok(())
}

/// Closes with a reset.
pub(crate) fn abort(stream: TcpStream) -> io::Result<()> {
    let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
    option(&stream, libc::SOL_SOCKET, libc::SO_LINGER, &at_once)?;
    drop(stream);
    Ok(())
}

impl Client {
    fn obey(&mut self, words: &[&str]) -> io::Result<String> {
        let number = |i: usize| -> usize { words[i].parse().expect("a number") };
        match words[0] {
            "to" => self.to = crate::parse(words[1]),
            // Connects `n` times, one after the other, and keeps what opens.
            "open" => return Ok(self.keep((0..number(1)).map(|_| TcpStream::connect(self.to)).collect())),
            // The same, all at once.
            "race" => return Ok(self.race(number(1))),
            // Begins `n` connects and waits for none.
            "start" => return self.start(number(1)),
            "rounds" => self.rounds(number(1), number(2))?,
            "overlap" => self.overlap(number(1), Duration::from_millis(number(2) as u64))?,
            "short" => short(self.to, number(1))?,
            "ask" => return self.ask(number(1)),
            // So many processes, so many at once, each for so many milliseconds, of this program.
            "swarm" => return swarm(self.to, number(1), number(2), words[3], words[4]),
            "write" => self.each(|stream| stream.write_all(&vec![b'x'; number(1)]))?,
            "read" => self.each(|stream| stream.read_exact(&mut vec![0; number(1)]))?,
            "send" => send::all(words[1], self.held.first().expect("a connection"), number(2))?,
            "shut" => self.each(|stream| stream.shutdown(std::net::Shutdown::Write))?,
            "patience" => {
                let patience = number(1) as u32;
                self.each(|stream| option(stream, libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, &patience))?;
            }
            // Reads every connection to its end, and says how they ended.
            "ends" => return Ok(self.ends()),
            "close" => self.held.clear(),
            "abort" => self.held.drain(..).try_for_each(abort)?,
            // So many a second, at random, for so many seconds.
            "arrive" => {
                let per_s = words[1].parse().expect("a rate");
                return arrivals::run(self.to, per_s, Duration::from_secs(number(2) as u64));
            }
            // So many connections, threads, milliseconds between and with, requests on each, and seconds.
            "pool" => {
                let milliseconds = |i| Duration::from_millis(number(i) as u64);
                let how = Use { think: milliseconds(3), hold: milliseconds(4), requests: number(5) };
                return pool::run(self.to, number(1), number(2), how, Duration::from_secs(number(6) as u64));
            }
            "udp" => return Ok(udp(self.to, number(1))),
            word => panic!("no command {word:?}"),
        }
        Ok("done".to_owned())
    }

    fn each(&mut self, step: impl Fn(&mut TcpStream) -> io::Result<()>) -> io::Result<()> {
        self.held.iter_mut().try_for_each(step)
    }

    /// `opened COUNT ERRNO:COUNT...`
    fn keep(&mut self, attempts: Vec<io::Result<TcpStream>>) -> String {
        let mut opened = 0;
        let mut errors = BTreeMap::new();
        for attempt in attempts {
            match attempt.and_then(|stream| stream.set_nodelay(true).map(|()| stream)) {
                Ok(stream) => {
                    opened += 1;
                    self.held.push(stream);
                }
                Err(error) => *errors.entry(errno(&error)).or_insert(0) += 1,
            }
        }
        counts(&format!("opened {opened}"), &errors)
    }

    fn race(&mut self, n: usize) -> String {
        let to = self.to;
        let attempts: Vec<_> = (0..n).map(|_| thread::spawn(move || TcpStream::connect(to))).collect();
        self.keep(attempts.into_iter().map(|thread| thread.join().expect("a connecting thread")).collect())
    }

    fn start(&mut self, n: usize) -> io::Result<String> {
        for _ in 0..n {
            let family = if self.to.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
            let kind = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
            // SAFETY: no pointers.
            let fd = count(unsafe { libc::socket(family, kind, 0) } as isize)?;
            // SAFETY: a descriptor that the kernel has just made for us.
            let stream = unsafe { TcpStream::from_raw_fd(fd as i32) };
            let (address, length) = raw(self.to);
            // SAFETY: the address is live and at least as long as stated.
            let connected = unsafe { libc::connect(stream.as_raw_fd(), address.as_ptr().cast(), length) };
            match count(connected as isize) {
                Err(error) if errno(&error) != libc::EINPROGRESS => return Err(error),
                _ => self.held.push(stream),
            }
        }
        Ok(format!("started {n}"))
    }

    /// `n` rounds of `bytes` each way on every connection.
    fn rounds(&mut self, n: usize, bytes: usize) -> io::Result<()> {
        let request = vec![b'x'; bytes];
        let mut answer = vec![0; bytes];
        for _ in 0..n {
            for stream in &mut self.held {
                stream.write_all(&request)?;
                stream.read_exact(&mut answer)?;
            }
        }
        Ok(())
    }

    /// Sends a byte every so often without waiting for answers, which are read aside.
    fn overlap(&mut self, n: usize, every: Duration) -> io::Result<()> {
        let stream = self.held.first().expect("a connection");
        thread::scope(|scope| {
            let reader = scope.spawn(|| (&*stream).read_exact(&mut vec![0; n]));
            for _ in 0..n {
                (&*stream).write_all(b"x")?;
                thread::sleep(every);
            }
            reader.join().expect("the reading thread")
        })
    }

    /// Asks on `n` short connections for a line, and returns all of them.
    fn ask(&self, n: usize) -> io::Result<String> {
        let mut answers = Vec::new();
        for _ in 0..n {
            let mut stream = TcpStream::connect(self.to)?;
            stream.write_all(b"?\n")?;
            let mut line = String::new();
            BufReader::new(stream).read_line(&mut line)?;
            answers.push(line.trim().to_owned());
        }
        Ok(answers.join(" "))
    }

    /// `ended COUNT ERRNO:COUNT...`; the first number is of those that ended in peace.
    fn ends(&mut self) -> String {
        let mut peaceful = 0;
        let mut errors = BTreeMap::new();
        for stream in &mut self.held {
            match stream.read_to_end(&mut Vec::new()) {
                Ok(_) => peaceful += 1,
                Err(error) => *errors.entry(errno(&error)).or_insert(0) += 1,
            }
        }
        counts(&format!("ended {peaceful}"), &errors)
    }
}

fn counts(head: &str, errors: &BTreeMap<i32, usize>) -> String {
    errors.iter().fold(head.to_owned(), |mut line, (errno, n)| {
        let _ = write!(line, " {errno}:{n}");
        line
    })
}

fn errno(error: &io::Error) -> i32 {
    error.raw_os_error().unwrap_or(0)
}

fn udp(to: SocketAddr, n: usize) -> String {
    let any: SocketAddr = if to.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0; 8], 0).into() };
    let failed = (0..n).filter(|_| UdpSocket::bind(any).and_then(|socket| socket.connect(to)).is_err()).count();
    format!("failed {failed}")
}

fn option<T>(stream: &TcpStream, level: i32, name: i32, value: &T) -> io::Result<()> {
    let length = size_of::<T>() as libc::socklen_t;
    // SAFETY: the value is live and of the stated length.
    count(unsafe { libc::setsockopt(stream.as_raw_fd(), level, name, (&raw const *value).cast(), length) } as isize)
        .map(drop)
}

/// A socket address as the kernel takes it.
fn raw(address: SocketAddr) -> ([u8; 28], libc::socklen_t) {
    let mut bytes = [0; 28];
    bytes[2..4].copy_from_slice(&address.port().to_be_bytes());
    match address {
        SocketAddr::V4(v4) => {
            bytes[..2].copy_from_slice(&(libc::AF_INET as u16).to_ne_bytes());
            bytes[4..8].copy_from_slice(&v4.ip().octets());
            (bytes, 16)
        }
        SocketAddr::V6(v6) => {
            bytes[..2].copy_from_slice(&(libc::AF_INET6 as u16).to_ne_bytes());
            bytes[8..24].copy_from_slice(&v6.ip().octets());
            (bytes, 28)
        }
    }
}
