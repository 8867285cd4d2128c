//! Builds weir and its bench, and runs the bench.

use std::ffi::OsString;

use anyhow::Result;

use crate::command::{Elevation, cargo, run};
use crate::run::{binary, build_command};
use crate::setup::{Extra, setup};

/// Runs the bench with these arguments. The bench has its own help.
pub(crate) fn bench(args: &[OsString]) -> Result<()> {
    let elevation = Elevation::find("load programs into the kernel")?;
    setup(Extra::None)?;
    run(&mut build_command(false))?;
    run(&mut cargo(["build", "--release", "-p", "weir-bench"]))?;
    run(elevation.command(binary(false).with_file_name("weir-bench")).args(args))
}
