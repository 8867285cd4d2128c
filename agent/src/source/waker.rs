//! Wakes the reader when the kernel half has written to the ring: a process that owns a new edge may have ended by the next
//! tick.

use std::{os::fd::OwnedFd, time::Duration};

use anyhow::{Context as _, Result};
use tokio::io::unix::AsyncFd;

use crate::source::timer::Timer;

/// Ready when the ring is readable, or when the time that the reader asked for has come.
pub(crate) struct RingWaker {
    ring: AsyncFd<OwnedFd>,
    timer: Timer,
    timer_armed: bool,
}

impl RingWaker {
    /// Over a descriptor that becomes readable when the kernel half wakes its reader.
    pub(crate) fn new(ring: OwnedFd) -> Result<Self> {
        // SAFETY: an owned descriptor of a kind that epoll takes, closed only when the AsyncFd is dropped.
        let ring = unsafe { AsyncFd::register(ring) };
        let ring = ring.map_err(std::io::Error::from).context("wait for the ring")?;
        // Events may have been written before the descriptor was registered.
        Ok(Self { ring, timer: Timer::after(Duration::from_millis(1))?, timer_armed: true })
    }

    /// Waits until there may be something to read.
    pub(crate) async fn ready(&self) -> Result<()> {
        tokio::select! {
            ready = self.ring.readable() => {
                ready.context("wait for the ring")?.clear_ready();
                Ok(())
            }
            fired = self.timer.fired(), if self.timer_armed => fired,
        }
    }

    /// The ring has been read. `again`: when to read it again if the kernel half does not wake its reader before.
    pub(crate) fn rearm(&mut self, again: Option<Duration>) -> Result<()> {
        self.timer_armed = again.is_some();
        again.map_or(Ok(()), |delay| self.timer.once(delay))
    }
}
