//! Ctrl-C: a run ends at its next wait, and everything that it started is removed.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};

static ASKED: AtomicBool = AtomicBool::new(false);
const SLICE: Duration = Duration::from_millis(100);

extern "C" fn ask(_signal: libc::c_int) {
    ASKED.store(true, Ordering::Relaxed);
}

/// From here on the first SIGINT or SIGTERM is a request; the second ends the process.
pub(crate) fn listen() {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler stores to an atomic and nothing else; the structure is valid when zeroed.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = ask as *const () as usize;
            action.sa_flags = libc::SA_RESETHAND | libc::SA_RESTART;
            libc::sigaction(signal, &raw const action, std::ptr::null_mut());
        }
    }
}

/// Whether an end was requested.
pub(crate) fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// Waits, and calls `left` once a second with the remaining time.
///
/// # Errors
/// When an end was requested: the caller should return.
pub(crate) fn wait(span: Duration, mut left: impl FnMut(Duration)) -> Result<()> {
    let until = Instant::now() + span;
    let mut shown = u64::MAX;
    loop {
        if asked() {
            bail!("interrupted");
        }
        let rest = until.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return Ok(());
        }
        if rest.as_secs() != shown {
            shown = rest.as_secs();
            left(rest);
        }
        sleep(rest.min(SLICE));
    }
}
