//! weir, the user half. One direction only: probes, reader, engine, exporters.
//!
//! A library so that benchmarks and tests reach its parts; the command is `main.rs`.

mod cli;
mod doctor;
mod export;
mod observe;
mod probe;
mod reader;
mod recording;
mod timer;

pub use cli::run;
pub use probe::{
    attach::attach_syscall_exit,
    table::{Hook, PROBES, Probe},
};
