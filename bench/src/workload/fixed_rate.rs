//! `fixed_rate`: latency under a load that does not wait for answers.
//!
//! Requests are due at fixed times, whatever the server does; latency runs from when a request was due, not from when
//! it could be sent. A closed loop would slow down with the server and leave out just the requests that had to wait.

use std::{
    collections::VecDeque,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::fd::AsRawFd as _,
    rc::Rc,
    time::Instant,
};

use anyhow::{Context as _, Result, ensure};

use super::{
    Latency, Run, Truth, Workload,
    server::{self, Server},
};
use crate::{
    measure::priority,
    site::Site,
    statistics::{Spread, quantile},
};

/// About a tenth of what `redis` does at full speed.
pub(crate) const RATE: u64 = 10_000;
const CONNECTIONS: usize = 10;
/// Requests in a slice: ten of them are beyond the 99th percentile.
const SLICE: usize = 1000;
/// The longest single wait.
const SOON_NS: u64 = 10_000_000;
const REQUEST: &[u8] = b"*1\r\n$4\r\nPING\r\n";
const ANSWER: &[u8] = b"+PONG\r\n";

struct FixedRate {
    server: Server,
    requests: u64,
}

pub(super) fn fixed_rate(site: &Rc<Site>) -> Result<Box<dyn Workload>> {
    let server = server::redis(site)?;
    Ok(Box::new(FixedRate { server, requests: site.scaled(2 * RATE) }))
}

impl Workload for FixedRate {
    fn run(&mut self) -> Result<Run> {
        let port = self.server.port;
        let mut client = Client::connect(port)?;
        let _pinned = priority::Alone::pin()?;
        let start = Instant::now();
        let latencies = client.run(self.requests, RATE)?;
        let elapsed_ns = start.elapsed().as_nanos() as f64;
        let latency = Latency { p50_ns: sliced(&latencies, 0.5), p99_ns: sliced(&latencies, 0.99) };
        let connects = CONNECTIONS as u64;
        let truth = Truth { port, rounds: (self.requests, self.requests), connects: (connects, connects) };
        Ok(Run {
            units: self.requests as f64,
            elapsed_ns,
            latency: Some(latency),
            truth: Some(truth),
            ..Run::default()
        })
    }
}

/// The median of a quantile's values in slices of the run. A shared machine can stop for 50 ms at any time, which is 500
/// requests: one such pause would be the p99 of the whole run, whatever is attached.
fn sliced(latencies: &[u64], share: f64) -> f64 {
    let of_slice = |slice: &[u64]| {
        let mut slice = slice.to_vec();
        slice.sort_unstable();
        quantile(&slice, share) as f64
    };
    Spread::of(latencies.chunks(SLICE).map(of_slice)).map_or(0.0, |slices| slices.median)
}

/// An open loop over several connections, each with one request under way at most: one that finds none free waits, and
/// its wait is latency.
pub(crate) struct Client {
    connections: Vec<TcpStream>,
    polled: Vec<libc::pollfd>,
    /// When the request under way on each connection was due, ns from the start.
    due: Vec<Option<u64>>,
}

impl Client {
    fn connect(port: u16) -> Result<Self> {
        let connect = |_| {
            let stream = TcpStream::connect(("127.0.0.1", port))?;
            stream.set_nodelay(true)?;
            Ok(stream)
        };
        let connections =
            (0..CONNECTIONS).map(connect).collect::<std::io::Result<Vec<_>>>().context("connect to redis")?;
        let polled =
            connections.iter().map(|c| libc::pollfd { fd: c.as_raw_fd(), events: libc::POLLIN, revents: 0 }).collect();
        Ok(Self { due: vec![None; connections.len()], connections, polled })
    }

    /// Sends `requests` at `rate` a second; the latency of each, ns.
    fn run(&mut self, requests: u64, rate: u64) -> Result<Vec<u64>> {
        let start = Instant::now();
        let now = || start.elapsed().as_nanos() as u64;
        let mut latencies = Vec::with_capacity(requests as usize);
        let mut waiting = VecDeque::new();
        let mut next = 0;
        while (latencies.len() as u64) < requests {
            while next < requests && next * 1_000_000_000 / rate <= now() {
                waiting.push_back(next * 1_000_000_000 / rate);
                next += 1;
            }
            while let (Some(due), Some(free)) = (waiting.front(), self.due.iter().position(Option::is_none)) {
                self.connections[free].write_all(REQUEST)?;
                self.due[free] = Some(*due);
                waiting.pop_front();
            }
            let until_due = if next < requests { (next * 1_000_000_000 / rate).saturating_sub(now()) } else { SOON_NS };
            for index in self.answered(until_due)? {
                let mut answer = [0; ANSWER.len()];
                self.connections[index].read_exact(&mut answer)?;
                ensure!(answer == ANSWER, "redis answered {:?}", String::from_utf8_lossy(&answer));
                if let Some(due) = self.due[index].take() {
                    latencies.push(now() - due);
                }
            }
        }
        Ok(latencies)
    }

    /// Connections with an answer, waiting for one at most this long.
    fn answered(&mut self, wait_ns: u64) -> Result<Vec<usize>> {
        let wait = libc::timespec { tv_sec: 0, tv_nsec: wait_ns.min(SOON_NS) as i64 };
        let count = self.polled.len() as libc::nfds_t;
        // SAFETY: the array and the time are valid for the call; no signal mask is given.
        let ready = unsafe { libc::ppoll(self.polled.as_mut_ptr(), count, &raw const wait, std::ptr::null()) };
        ensure!(ready >= 0, "ppoll: {}", std::io::Error::last_os_error());
        let has_data = |(index, polled): (usize, &libc::pollfd)| (polled.revents != 0).then_some(index);
        Ok(self.polled.iter().enumerate().filter_map(has_data).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_standstill_is_not_the_99th_percentile() {
        let mut latencies = vec![10; 5 * SLICE];
        latencies[..SLICE / 2].fill(50_000_000);
        assert_eq!((sliced(&latencies, 0.99), sliced(&[], 0.5)), (10.0, 0.0));
    }
}
