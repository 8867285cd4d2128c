//! `pair` and `one_way`: what a send with its receive costs, to the nanosecond.
//!
//! One thread holds both ends of loopback connections, alone on its processor: nothing is scheduled, woken or moved
//! between two readings of the clock, so what a block of pairs takes differs only by what is attached.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    rc::Rc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};

use super::{Run, Workload};
use crate::{measure::priority::Alone, site::Site, statistics::Spread};

/// A block is some milliseconds: long against the clock, short against interference.
const PAIRS_PER_BLOCK: u32 = 1000;
const BLOCKS: u64 = 100;
/// A socket's place in memory changes the cost of a pair; several sockets average it out.
const CONNECTIONS: usize = 4;
/// Real-time threads may use 95% of a second: this pauses before the kernel takes the rest.
const BREATH: Duration = Duration::from_micros(400);
const MESSAGE: [u8; 32] = *b"thirty-two bytes of conversation";

struct Pair {
    blocks: u64,
    both_ways: bool,
}

pub(super) fn ping_pong(site: &Rc<Site>) -> Result<Box<dyn Workload>> {
    Ok(Box::new(Pair { blocks: site.scaled(BLOCKS), both_ways: true }))
}

pub(super) fn one_way(site: &Rc<Site>) -> Result<Box<dyn Workload>> {
    Ok(Box::new(Pair { blocks: site.scaled(BLOCKS), both_ways: false }))
}

impl Workload for Pair {
    fn run(&mut self) -> Result<Run> {
        let mut connections = (0..CONNECTIONS).map(|_| connect()).collect::<Result<Vec<_>>>()?;
        let alone = Alone::take()?;
        let mut block = |index: u64| {
            let (near, far) = &mut connections[index as usize % CONNECTIONS];
            if self.both_ways { conversation(near, far) } else { stream(near, far) }
        };
        for warming in 0..CONNECTIONS as u64 {
            block(warming)?;
        }
        let mut times = Vec::new();
        for index in 0..self.blocks {
            thread::sleep(BREATH);
            times.push(block(index)?.as_nanos() as f64 / f64::from(PAIRS_PER_BLOCK));
        }
        drop(alone);
        let times = Spread::of(times).context("no blocks")?;
        let units = self.blocks as f64 * f64::from(PAIRS_PER_BLOCK);
        // One thread that never waits: its time is the processor's.
        let total = times.median * units;
        Ok(Run { units, elapsed_ns: total, cpu_ns: total, best_ns: Some(times.min), ..Run::default() })
    }
}

fn connect() -> Result<(TcpStream, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").context("listen on loopback")?;
    let near = TcpStream::connect(listener.local_addr()?).context("connect to loopback")?;
    let (far, _) = listener.accept().context("accept on loopback")?;
    for end in [&near, &far] {
        end.set_nodelay(true)?;
    }
    Ok((near, far))
}

/// Each exchange is two pairs: a request and its answer.
fn conversation(near: &mut TcpStream, far: &mut TcpStream) -> Result<Duration> {
    let start = Instant::now();
    for _ in 0..PAIRS_PER_BLOCK / 2 {
        pass(near, far)?;
        pass(far, near)?;
    }
    Ok(start.elapsed())
}

fn stream(near: &mut TcpStream, far: &mut TcpStream) -> Result<Duration> {
    let start = Instant::now();
    for _ in 0..PAIRS_PER_BLOCK {
        pass(near, far)?;
    }
    Ok(start.elapsed())
}

/// Loopback delivers within the send, so the receive never waits.
#[inline]
fn pass(from: &mut TcpStream, to: &mut TcpStream) -> Result<()> {
    let mut buffer = [0; MESSAGE.len()];
    from.write_all(&MESSAGE)?;
    to.read_exact(&mut buffer)?;
    Ok(())
}
