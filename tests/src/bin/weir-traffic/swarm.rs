//! Processes that come and go.

use std::{
    io,
    net::SocketAddr,
    process::{Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::client::short;

/// One short connection in a life of this length.
pub(crate) fn brief(to: SocketAddr, life: Duration) -> io::Result<()> {
    let born = Instant::now();
    short(to, 1)?;
    thread::sleep(life.saturating_sub(born.elapsed()));
    Ok(())
}

/// Runs `n` processes of this program that live so many milliseconds, `at_once` at a time, and returns how many
/// succeeded.
pub(crate) fn swarm(to: SocketAddr, n: usize, at_once: usize, life: &str, program: &str) -> io::Result<String> {
    let [begun, done] = [AtomicUsize::new(0), AtomicUsize::new(0)];
    let run = || -> io::Result<()> {
        while begun.fetch_add(1, Ordering::Relaxed) < n {
            let mut command = Command::new(program);
            let status = command.args(["brief", &to.to_string(), life]).stdin(Stdio::null()).status()?;
            done.fetch_add(usize::from(status.success()), Ordering::Relaxed);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads: Vec<_> = (0..at_once).map(|_| scope.spawn(run)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("a starting thread"))
    })?;
    Ok(format!("swarmed {}", done.load(Ordering::Relaxed)))
}
