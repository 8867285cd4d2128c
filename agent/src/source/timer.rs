//! A kernel timer (timerfd). tokio's own timer wakes an idle process two or three times for each deadline, to advance its wheel;
//! an idle agent should not wake up before the deadline.

use std::{os::fd::OwnedFd, time::Duration};

use anyhow::{Context as _, Result};
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// Fires at an interval, or once.
pub(crate) struct Timer(AsyncFd<OwnedFd>);

impl Timer {
    /// Fires every `period`, first after one period.
    pub(crate) fn every(period: Duration) -> Result<Self> {
        Self::new(period, period)
    }

    /// Fires once.
    pub(crate) fn after(delay: Duration) -> Result<Self> {
        Self::new(delay, Duration::ZERO)
    }

    fn new(first: Duration, period: Duration) -> Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let fd = timerfd_create(TimerfdClockId::Monotonic, flags).context("create a timer")?;
        set(&fd, first, period)?;
        // SAFETY: an owned descriptor of a kind that epoll takes, closed only when the AsyncFd is dropped.
        let fd = unsafe { AsyncFd::register(fd) };
        Ok(Self(fd.map_err(std::io::Error::from).context("wait for a timer")?))
    }

    /// Fires every `period` from now on.
    pub(crate) fn change(&self, period: Duration) -> Result<()> {
        set(self.0.get_ref(), period, period)
    }

    /// Fires once, this long from now.
    pub(crate) fn once(&self, delay: Duration) -> Result<()> {
        set(self.0.get_ref(), delay, Duration::ZERO)
    }

    /// Waits for the next expiration. Missed expirations count as one.
    pub(crate) async fn fired(&self) -> Result<()> {
        loop {
            let mut ready = self.0.readable().await.context("wait for a timer")?;
            let mut expirations = [0; 8];
            match rustix::io::read(self.0.get_ref(), &mut expirations) {
                Ok(_) => return Ok(()),
                // Not yet expired, or interrupted by a signal: wait again.
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => ready.clear_ready(),
                Err(error) => return Err(error).context("read a timer"),
            }
        }
    }
}

fn set(fd: &OwnedFd, first: Duration, period: Duration) -> Result<()> {
    let times = Itimerspec { it_value: timespec(first), it_interval: timespec(period) };
    timerfd_settime(fd, TimerfdTimerFlags::empty(), &times).context("set a timer")?;
    Ok(())
}

fn timespec(duration: Duration) -> Timespec {
    Timespec { tv_sec: duration.as_secs() as i64, tv_nsec: duration.subsec_nanos().into() }
}
