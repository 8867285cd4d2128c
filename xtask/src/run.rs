//! Builds weir and runs it.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Error, Result};

use crate::command::{Elevation, cargo, describe, root, run as run_command};
use crate::setup::{Extra, setup};

/// Builds weir and prints the path of its binary.
pub(crate) fn build(debug: bool) -> Result<()> {
    setup(Extra::None)?;
    run_command(&mut build_command(debug))?;
    println!("{}", binary(debug).display());
    Ok(())
}

/// Builds weir and becomes `weir edges`: replaced, not a child, so that Ctrl-C reaches weir alone.
pub(crate) fn run(args: &[OsString]) -> Result<()> {
    let elevation = Elevation::find("load programs into the kernel")?;
    setup(Extra::None)?;
    run_command(&mut build_command(false))?;
    let mut weir = elevation.command(binary(false));
    weir.arg("edges").args(args);
    let error = weir.exec();
    Err(Error::new(error).context(format!("cannot run `{}`", describe(&weir))))
}

pub(crate) fn build_command(debug: bool) -> Command {
    cargo(if debug { &["build"][..] } else { &["build", "--release"] }.iter().copied())
}

/// Where `build_command` leaves the binary: an absolute path.
pub(crate) fn binary(debug: bool) -> PathBuf {
    target_dir().join(if debug { "debug" } else { "release" }).join("weir")
}

/// cargo's target directory: an absolute path.
pub(crate) fn target_dir() -> PathBuf {
    // cargo takes a relative CARGO_TARGET_DIR from its own working directory, which is the root.
    root().join(env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into()))
}
