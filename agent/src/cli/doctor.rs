//! `weir doctor` (checks in `crate::doctor`)
use std::process::ExitCode;
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}
pub(crate) fn run(_args: &Args) -> anyhow::Result<ExitCode> { Ok(ExitCode::SUCCESS) }
