//! What the kernel half says of its own decisions, for finding out why an edge is what it is. Off unless asked for: then
//! the verifier removes every statement, and what remains is an empty ring.

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya_log::{EbpfLogger, Level};
use log::{Log, Metadata, Record};

/// The statements' level in the kernel half, as `AYA_LOG_LEVEL` takes it.
pub(crate) fn level(enabled: bool) -> u8 {
    if enabled { Level::Debug as u8 } else { 0 }
}

/// Reads the kernel half's log.
pub(crate) struct KernelLog(EbpfLogger<Stderr>);

impl KernelLog {
    pub(crate) fn of(ebpf: &mut Ebpf) -> Result<Self> {
        Ok(Self(EbpfLogger::init_with_logger(ebpf, Stderr).context("the kernel half's log")?))
    }

    /// Writes what has gathered to stderr.
    pub(crate) fn flush(&mut self) {
        self.0.flush();
    }
}

struct Stderr;

impl Log for Stderr {
    fn enabled(&self, _: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        eprintln!("weir: kernel: {}", record.args());
    }

    fn flush(&self) {}
}
