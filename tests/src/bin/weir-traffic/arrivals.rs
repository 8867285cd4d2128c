//! Callers that come at random, and a server that answers each with the time until it was accepted.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use crate::noise::Noise;

/// Monotonic nanoseconds: client and server are on one host.
fn now_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a live structure of the call's own type.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// Just accepted: answers how many nanoseconds after the time that the client sends.
pub(crate) fn serve(mut stream: TcpStream, work: Duration) {
    let accepted_ns = now_ns();
    let mut connected = [0; 8];
    if stream.read_exact(&mut connected).is_ok() {
        thread::sleep(work);
        let waited_ns = accepted_ns.saturating_sub(u64::from_ne_bytes(connected));
        let _ = stream.write_all(&waited_ns.to_ne_bytes());
    }
}

/// `waited COUNT mean_us MEAN`: the server's answers to callers that come `per_s` times a second, at random.
pub(crate) fn run(to: SocketAddr, per_s: f64, span: Duration) -> io::Result<String> {
    let mut noise = Noise::new(per_s as u32 + 1);
    let began = Instant::now();
    let mut at = Duration::ZERO;
    let mut callers = Vec::new();
    loop {
        at += Duration::from_secs_f64(noise.exponential() / per_s);
        if at > span {
            break;
        }
        thread::sleep(at.saturating_sub(began.elapsed()));
        callers.push(thread::Builder::new().stack_size(128 << 10).spawn(move || call(to))?);
    }
    let waits: Vec<u64> = callers.into_iter().map(|c| c.join().expect("a caller")).collect::<io::Result<_>>()?;
    let mean_us = waits.iter().sum::<u64>() / 1000 / waits.len().max(1) as u64;
    Ok(format!("waited {} mean_us {mean_us}", waits.len()))
}

fn call(to: SocketAddr) -> io::Result<u64> {
    let mut stream = TcpStream::connect(to)?;
    stream.write_all(&now_ns().to_ne_bytes())?;
    let mut answer = [0; 8];
    stream.read_exact(&mut answer)?;
    Ok(u64::from_ne_bytes(answer))
}
