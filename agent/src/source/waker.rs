//! The ring's bell: somebody the kernel half has just met may be gone by the next tick.

use std::{os::fd::OwnedFd, time::Duration};

use anyhow::{Context as _, Result};
use tokio::io::unix::AsyncFd;

use crate::source::timer::Timer;

pub(crate) struct Bell {
    ring: AsyncFd<OwnedFd>,
    again: Timer,
    resting: bool,
}

impl Bell {
    /// Over a descriptor that becomes readable when it rings.
    pub(crate) fn new(ring: OwnedFd) -> Result<Self> {
        // SAFETY: an owned descriptor of a kind that epoll takes, closed only when the AsyncFd is dropped.
        let ring = unsafe { AsyncFd::register(ring) };
        let ring = ring.map_err(std::io::Error::from).context("wait for the ring")?;
        // It may have rung before.
        Ok(Self { ring, again: Timer::after(Duration::from_millis(1))?, resting: true })
    }

    /// Waits until there may be something to hear.
    pub(crate) async fn rung(&self) -> Result<()> {
        tokio::select! {
            ready = self.ring.readable() => {
                ready.context("wait for the ring")?.clear_ready();
                Ok(())
            }
            fired = self.again.fired(), if self.resting => fired,
        }
    }

    /// It has been listened to; when to listen again, should it not ring before.
    pub(crate) fn heard(&mut self, again: Option<Duration>) -> Result<()> {
        self.resting = again.is_some();
        again.map_or(Ok(()), |delay| self.again.once(delay))
    }
}
