//! Builds weir and its fault lab, and runs the lab.

use std::ffi::OsString;

use anyhow::{Context, Result};

use crate::command::{Elevation, cargo, describe, run};
use crate::run::{build_command, target_dir};
use crate::setup::{Extra, setup};

/// Runs the lab with these arguments, and returns its exit status. The lab has its own help.
pub(crate) fn lab(args: &[OsString]) -> Result<u8> {
    let needs_root = !args.iter().any(|arg| {
        let arg = arg.to_string_lossy();
        ["--score", "--golden", "--list", "--help", "-h"].iter().any(|free| arg == *free || arg.starts_with("--score="))
    });
    let elevation = if needs_root { Elevation::find("load programs into the kernel")? } else { Elevation::None };
    setup(if needs_root { Extra::Lab } else { Extra::None })?;
    run(&mut build_command(false))?;
    // Not in release, where a panic aborts the process, and with it the remaining runs.
    run(&mut cargo(["build", "-p", "weir-lab", "-p", "weir-tests", "--bins"]))?;
    let mut lab = elevation.command(target_dir().join("debug/weir-lab"));
    let status = lab.args(args).status().with_context(|| format!("cannot run `{}`", describe(&lab)))?;
    Ok(status.code().and_then(|code| code.try_into().ok()).unwrap_or(2))
}
