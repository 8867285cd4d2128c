//! The fault lab: real software with a fault of known kind and time, and a score of the incidents that `weir signals` raises.
//!
//! Run as root by `cargo xtask lab`. A scenario runs servers, applications and load in network namespaces through three phases,
//! while weir records; the script and the applications write the truth down before any output of weir is read. Scores come from
//! replays of the recordings, so that a stored run can be judged again by another weir.

mod ablation;
mod application;
mod cli;
mod contract;
mod golden;
mod group;
mod incident;
mod interrupt;
mod judge;
mod measured;
mod play;
mod processors;
mod report;
mod run;
mod scenario;
mod score;
mod stage;
mod statistics;
mod store;
mod truth;
mod weir;

use std::process::ExitCode;

/// Targets were missed.
const MISSED: u8 = 1;
/// Nothing was judged, or not all of it.
const CANNOT_RUN: u8 = 2;

fn main() -> ExitCode {
    match cli::run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(MISSED),
        Err(error) => {
            eprintln!("weir-lab: {error:#}");
            ExitCode::from(CANNOT_RUN)
        }
    }
}
