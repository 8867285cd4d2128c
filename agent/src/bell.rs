//! The ring's bell: somebody the kernel half has just met may be gone by the next tick.

use std::{os::fd::OwnedFd, time::Duration};

use anyhow::{Context as _, Result};
use tokio::io::unix::AsyncFd;

use crate::timer::Timer;

/// After it was heard it is let be this long, and then looked at again whether it rang or not: the kernel half does not
/// ring twice in 150 ms.
const REST: Duration = Duration::from_millis(200);

pub(crate) struct Bell {
    ring: AsyncFd<OwnedFd>,
    rest: Timer,
    resting: bool,
}

impl Bell {
    /// Over a descriptor that becomes readable when it rings.
    pub(crate) fn new(ring: OwnedFd) -> Result<Self> {
        // SAFETY: an owned descriptor of a kind that epoll takes, closed only when the AsyncFd is dropped.
        let ring = unsafe { AsyncFd::register(ring) };
        let ring = ring.map_err(std::io::Error::from).context("wait for the ring")?;
        Ok(Self { ring, rest: Timer::after(REST)?, resting: true })
    }

    /// Waits until there may be something to hear.
    pub(crate) async fn rung(&self) -> Result<()> {
        if self.resting {
            return self.rest.fired().await;
        }
        self.ring.readable().await.context("wait for the ring")?.clear_ready();
        Ok(())
    }

    /// It has been listened to: with news, there may be more soon.
    pub(crate) fn heard(&mut self, news: bool) -> Result<()> {
        self.resting = news;
        if news { self.rest.once(REST) } else { Ok(()) }
    }
}
