//! `idle`, and what scaling needs: many connections, to many addresses.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    process::{ChildStdin, Command, Stdio},
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::{Run, Workload};
use crate::{
    measure::process::{Lines, Process},
    site::Site,
};

/// Files that a process keeps for other purposes.
const OTHER_FILES: u64 = 200;
const OPENS_WITHIN: Duration = Duration::from_secs(60);

/// Connections with both ends in one process. An edge is a client process and a dialled address.
pub(crate) struct Crowd {
    pairs: Vec<(TcpStream, TcpStream)>,
    /// Kept open: for connections older than weir, the listening port shows which end is the server.
    _listener: TcpListener,
    /// Where a process may not open enough files, other processes hold the rest.
    helpers: Vec<Helper>,
}

impl Crowd {
    /// Opens `connections` to `addresses` addresses of loopback, in turn.
    pub(crate) fn open(addresses: u32, connections: u32) -> Result<Self> {
        let files = allow_files(u64::from(connections) * 2 + OTHER_FILES);
        let most = (files.saturating_sub(OTHER_FILES) / 2).clamp(1, u64::from(u32::MAX)) as u32;
        let parts = connections.div_ceil(most);
        let part = |whole: u32| (whole / parts).max(1);
        let helpers = (1..parts).map(|_| Helper::start(part(addresses), part(connections)));
        let helpers = helpers.collect::<Result<_>>()?;
        Self::of_this_process(part(addresses), part(connections), helpers)
    }

    fn of_this_process(addresses: u32, connections: u32, helpers: Vec<Helper>) -> Result<Self> {
        let listener = TcpListener::bind("0.0.0.0:0").context("listen")?;
        let port = listener.local_addr()?.port();
        let open = |index: u32| -> Result<_> {
            let near = TcpStream::connect(SocketAddr::from((address(index % addresses), port)))
                .with_context(|| format!("open connection {index} of {connections}"))?;
            let (far, _) = listener.accept().context("accept")?;
            Ok((near, far))
        };
        let pairs = (0..connections).map(open).collect::<Result<_>>()?;
        Ok(Self { pairs, _listener: listener, helpers })
    }

    /// One round on every connection.
    pub(crate) fn speak(&mut self) -> Result<()> {
        for index in 0..self.pairs.len() {
            self.round(index)?;
        }
        self.helpers.iter_mut().try_for_each(Helper::speak)
    }

    /// One round on one of this process's connections.
    pub(crate) fn round(&mut self, index: usize) -> Result<()> {
        let count = self.pairs.len();
        let (near, far) = &mut self.pairs[index % count];
        let mut byte = [1];
        near.write_all(&byte)?;
        far.read_exact(&mut byte)?;
        far.write_all(&byte)?;
        near.read_exact(&mut byte)?;
        Ok(())
    }
}

/// The addresses from 127.1.0.0 on.
fn address(index: u32) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(Ipv4Addr::new(127, 1, 0, 0)) + index)
}

/// Raises this process's limit of open files to `wanted`, or as far as allowed; returns the limit.
fn allow_files(wanted: u64) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is valid for the call.
    unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) };
    for most in [wanted.max(limit.rlim_max), limit.rlim_max] {
        let raised = libc::rlimit { rlim_cur: most, rlim_max: most };
        // SAFETY: `raised` is valid for the call.
        if unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0 {
            return most;
        }
    }
    limit.rlim_cur
}

/// Another process of this program, with a crowd of its own.
struct Helper {
    // Dropped first: a helper ends with its standard input.
    stdin: ChildStdin,
    lines: Lines,
    _process: Process,
}

impl Helper {
    fn start(addresses: u32, connections: u32) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe().context("where this bench is")?);
        command.args(["--crowd", &addresses.to_string(), &connections.to_string()]);
        let mut process = Process::start(command.stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let stdin = process.pipes().stdin.take().context("a pipe")?;
        let mut lines = Lines::of(process.pipes().stdout.take().context("a pipe")?);
        lines.wait_for("ready", OPENS_WITHIN).context("a crowd of another process")?;
        Ok(Self { stdin, lines, _process: process })
    }

    fn speak(&mut self) -> Result<()> {
        writeln!(self.stdin, "speak").context("ask another process's crowd")?;
        self.lines.wait_for("spoken", OPENS_WITHIN)
    }
}

/// A helper process: opens connections, and sends one round on each for each line of its standard input.
pub(crate) fn help(addresses: u32, connections: u32) -> Result<()> {
    let mut crowd = Crowd::of_this_process(addresses, connections, Vec::new())?;
    println!("ready");
    for line in std::io::stdin().lines() {
        line.context("standard input")?;
        crowd.speak()?;
        println!("spoken");
    }
    Ok(())
}

struct Idle {
    crowd: Crowd,
    span: Duration,
}

pub(super) fn idle(site: &Rc<Site>) -> Result<Box<dyn Workload>> {
    Ok(Box::new(Idle { crowd: Crowd::open(1000, 5000)?, span: Duration::from_millis(site.scaled(2500)) }))
}

impl Workload for Idle {
    fn run(&mut self) -> Result<Run> {
        // Every connection belongs to an edge once it has been used.
        self.crowd.speak()?;
        let start = Instant::now();
        thread::sleep(self.span);
        Ok(Run { units: 1.0, elapsed_ns: start.elapsed().as_nanos() as f64, ..Run::default() })
    }
}
