//! Threads that share a pool of connections, and what it is like inside: the truth that no probe sees.

use std::{
    collections::VecDeque,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    sync::{Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use crate::noise::Noise;

/// Hands connections over in the order of asking, as most pools do; the one given back last is taken last.
struct Pool(Mutex<Shared>);

struct Shared {
    free: VecDeque<TcpStream>,
    waiting: VecDeque<mpsc::Sender<TcpStream>>,
}

/// How a thread uses the pool.
#[derive(Clone, Copy)]
pub(crate) struct Use {
    /// Between giving a connection back and asking for one, on average: half to one and a half of it, lest threads that once
    /// waited for each other fall into step.
    pub(crate) think: Duration,
    /// With a connection, after the first request on it.
    pub(crate) hold: Duration,
    /// Requests on each.
    pub(crate) requests: usize,
}

impl Pool {
    fn of(to: SocketAddr, connections: usize) -> io::Result<Self> {
        let free = (0..connections).map(|_| TcpStream::connect(to)).collect::<io::Result<_>>()?;
        Ok(Self(Mutex::new(Shared { free, waiting: VecDeque::new() })))
    }

    /// A connection, and whether it had to be waited for.
    fn take(&self) -> (TcpStream, bool) {
        let mut shared = self.0.lock().expect("no thread panics with it");
        if let Some(stream) = shared.free.pop_front() {
            return (stream, false);
        }
        let (sender, receiver) = mpsc::channel();
        shared.waiting.push_back(sender);
        drop(shared);
        (receiver.recv().expect("who holds one gives it back"), true)
    }

    fn give_back(&self, stream: TcpStream) {
        let mut shared = self.0.lock().expect("no thread panics with it");
        match shared.waiting.pop_front() {
            Some(first) => first.send(stream).expect("who waits is there"),
            None => shared.free.push_back(stream),
        }
    }
}

/// `took COUNT waited COUNT wait_us SUM`: what `threads` come to in so long.
pub(crate) fn run(to: SocketAddr, connections: usize, threads: usize, how: Use, span: Duration) -> io::Result<String> {
    let pool = Pool::of(to, connections)?;
    let until = Instant::now() + span;
    let counts = thread::scope(|scope| {
        let workers: Vec<_> = (1..=threads)
            .map(|n| {
                scope.spawn({
                    let pool = &pool;
                    move || work(pool, how, until, Noise::new(n as u32))
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().expect("a worker")).collect::<io::Result<Vec<_>>>()
    })?;
    let sum = |f: fn(&(u64, u64, u64)) -> u64| counts.iter().map(f).sum::<u64>();
    Ok(format!("took {} waited {} wait_us {}", sum(|c| c.0), sum(|c| c.1), sum(|c| c.2)))
}

fn work(pool: &Pool, how: Use, until: Instant, mut noise: Noise) -> io::Result<(u64, u64, u64)> {
    let mut counts = (0, 0, 0);
    while Instant::now() < until {
        let asked = Instant::now();
        let (mut stream, waited) = pool.take();
        counts.0 += 1;
        counts.1 += u64::from(waited);
        counts.2 += asked.elapsed().as_micros() as u64;
        for request in 0..how.requests {
            stream.write_all(b"?")?;
            stream.read_exact(&mut [0])?;
            // A transaction is begun first, and what is not its business done in the midst of it.
            if request == 0 {
                thread::sleep(how.hold);
            }
        }
        pool.give_back(stream);
        thread::sleep(how.think.mul_f64(0.5 + noise.next()));
    }
    Ok(counts)
}
