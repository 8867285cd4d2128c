//! weir, the user half. One direction only: probes, reader, engine, exporters.

mod cli;
mod doctor;
mod export;
mod observe;
mod probe;
mod reader;
mod recording;
mod timer;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::run()
}
