//! The architectures that weir runs on.

use std::path::Path;

use anyhow::{Result, bail};
use object::elf;

use crate::command::{command, find, output, run};

/// An architecture that weir runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Arch {
    #[value(name = "x86_64")]
    X86_64,
    #[value(name = "aarch64")]
    Aarch64,
}

/// musl: a static binary of glibc would still look for parts of it at run time.
pub(crate) const ARCHES: [Arch; 2] = [Arch::X86_64, Arch::Aarch64];
/// Installs what these targets need: their standard library, which contains the linker's start files.
pub(crate) fn targets() -> Result<()> {
    for arch in ARCHES {
        let library = output(command("rustc").args(["--print", "target-libdir", "--target", arch.target()]))?;
        if Path::new(library.trim()).is_dir() {
            continue;
        }
        if find("rustup").is_none() {
            bail!(
                "{} is missing: install rustup (https://rustup.rs) or your distribution's standard library of Rust for {}, \
                 then repeat this",
                library.trim(),
                arch.target()
            );
        }
        run(command("rustup").args(["target", "add", arch.target()]))?;
    }
    Ok(())
}

impl Arch {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }

    pub(crate) fn target(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64-unknown-linux-musl",
            Self::Aarch64 => "aarch64-unknown-linux-musl",
        }
    }

    /// Debian's name.
    pub(crate) fn debian(self) -> &'static str {
        match self {
            Self::X86_64 => "amd64",
            Self::Aarch64 => "arm64",
        }
    }

    pub(crate) fn machine(self) -> u16 {
        match self {
            Self::X86_64 => elf::EM_X86_64,
            Self::Aarch64 => elf::EM_AARCH64,
        }
    }
}
