//! `idle`, and what scaling needs: many connections, to many addresses.

use std::{
    io::{Read as _, Write as _},
    net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream},
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::{Run, Workload};
use crate::lab::Lab;

/// Connections in this process, both ends. An edge is a dialled address, so there is one for each address.
pub(crate) struct Crowd {
    pairs: Vec<(TcpStream, TcpStream)>,
}

impl Crowd {
    /// Opens `connections` to `addresses` addresses of loopback, in turn.
    pub(crate) fn open(addresses: u32, connections: u32) -> Result<Self> {
        allow_files(u64::from(connections) * 2 + 1000);
        let listener = TcpListener::bind("0.0.0.0:0").context("listen")?;
        let port = listener.local_addr()?.port();
        let open = |index: u32| -> Result<_> {
            let near = TcpStream::connect(SocketAddr::from((address(index % addresses), port)))
                .with_context(|| format!("open connection {index} of {connections}"))?;
            let (far, _) = listener.accept().context("accept")?;
            Ok((near, far))
        };
        Ok(Self { pairs: (0..connections).map(open).collect::<Result<_>>()? })
    }

    /// One round on every connection.
    pub(crate) fn speak(&mut self) -> Result<()> {
        for index in 0..self.pairs.len() {
            self.round(index)?;
        }
        Ok(())
    }

    /// One round on one connection.
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

/// More files than the shell's limit. Where that is not allowed, opening says so.
fn allow_files(wanted: u64) {
    let limit = libc::rlimit { rlim_cur: wanted, rlim_max: wanted.max(1 << 20) };
    // SAFETY: `limit` is valid for the call.
    unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) };
}

struct Idle {
    crowd: Crowd,
    span: Duration,
}

pub(super) fn idle(lab: &Rc<Lab>) -> Result<Box<dyn Workload>> {
    Ok(Box::new(Idle { crowd: Crowd::open(1000, 5000)?, span: Duration::from_millis(lab.scaled(2500)) }))
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
