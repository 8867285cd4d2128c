//! `bulk`: one connection, as much as it carries.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    rc::Rc,
    thread,
    time::Instant,
};

use anyhow::{Context as _, Result};

use super::{Run, Workload};
use crate::{measure::process::cpu_ns, site::Site};

const CHUNK: usize = 128 << 10;
const MIB: u64 = 1 << 20;

struct Bulk {
    mib: u64,
}

pub(super) fn bulk(site: &Rc<Site>) -> Result<Box<dyn Workload>> {
    Ok(Box::new(Bulk { mib: site.scaled(3000) }))
}

impl Workload for Bulk {
    /// Both ends are threads of this process, which does nothing else meanwhile: its time is theirs.
    fn run(&mut self) -> Result<Run> {
        let used = || cpu_ns(std::process::id()).context("the time of this process");
        let listener = TcpListener::bind("127.0.0.1:0").context("listen on loopback")?;
        let mut near = TcpStream::connect(listener.local_addr()?).context("connect to loopback")?;
        let (mut far, _) = listener.accept().context("accept on loopback")?;
        let (start, before) = (Instant::now(), used()?);
        let reader = thread::spawn(move || -> std::io::Result<()> {
            let mut buffer = vec![0; CHUNK];
            while far.read(&mut buffer)? > 0 {}
            Ok(())
        });
        let chunk = vec![7; CHUNK];
        for _ in 0..self.mib * MIB / CHUNK as u64 {
            near.write_all(&chunk)?;
        }
        drop(near);
        reader.join().ok().context("the reading thread")??;
        let elapsed_ns = start.elapsed().as_nanos() as f64;
        Ok(Run { units: self.mib as f64, elapsed_ns, cpu_ns: (used()? - before) as f64, ..Run::default() })
    }
}
