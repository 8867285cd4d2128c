//! The cost of weir: one run that alternates traffic with and without it, with floors and with other tools.
//!
//! Run as root by `cargo xtask bench`. Each row is a workload, each column a subject; within a round every subject is
//! measured once, in an order that rotates, and compared with the runs of the same round that had nothing attached.

mod bench;
mod cli;
mod machine;
mod measure;
mod report;
mod results;
mod scaling;
mod site;
mod statistics;
mod stored;
mod subject;
mod workload;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("weir-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}
