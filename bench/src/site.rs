//! The site of a bench: a temporary directory, the control group whose time is measured, and the amount of work of a run.

use std::{cell::Cell, fs, net::TcpListener, path::PathBuf};

use anyhow::{Context as _, Result};

use crate::measure::group::{self, Group};

/// The amount of work of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Length {
    /// Enough to be precise.
    Full,
    /// Enough to see that it works.
    Fast,
}

/// The place of one bench.
pub(crate) struct Site {
    /// All servers and load generators run in it.
    pub(crate) group: Group,
    length: Length,
    directory: PathBuf,
    next_port: Cell<u16>,
}

impl Site {
    /// Makes the directory and the group.
    pub(crate) fn new(length: Length) -> Result<Self> {
        group::sweep()?;
        let directory = std::env::temp_dir().join(format!("weir-bench-{}", std::process::id()));
        fs::create_dir(&directory).with_context(|| format!("create {}", directory.display()))?;
        // Below the range of ephemeral ports.
        let next_port = Cell::new(21_000 + (std::process::id() % 100 * 100) as u16);
        Ok(Self { group: Group::new()?, length, directory, next_port })
    }

    /// A count in this bench's length: the fast one is a tenth.
    pub(crate) fn scaled(&self, full: u64) -> u64 {
        match self.length {
            Length::Full => full,
            Length::Fast => full / 10,
        }
    }

    /// A path in the site's directory.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// A port that nothing listens on.
    pub(crate) fn free_port(&self) -> Result<u16> {
        let first = self.next_port.get();
        let port = (first..first + 100).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
        let port = port.with_context(|| format!("no free port from {first} on"))?;
        self.next_port.set(port + 1);
        Ok(port)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}
