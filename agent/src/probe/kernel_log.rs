//! The kernel half's log of its decisions, for debugging. While it is off, the verifier removes every log statement, and only an
//! empty ring remains.

use anyhow::{Context as _, Result};
use aya::Ebpf;
use aya_log::{EbpfLogger, Level};
use log::{Log, Metadata, Record};

/// The log level of the kernel half: the value of `AYA_LOG_LEVEL`.
pub(crate) fn level(enabled: bool) -> u8 {
    if enabled { Level::Debug as u8 } else { 0 }
}

/// Reads the kernel half's log.
pub(crate) struct KernelLog(EbpfLogger<Stderr>);

impl KernelLog {
    pub(crate) fn of(ebpf: &mut Ebpf) -> Result<Self> {
        Ok(Self(EbpfLogger::init_with_logger(ebpf, Stderr).context("the kernel half's log")?))
    }

    /// Writes new entries to stderr.
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
