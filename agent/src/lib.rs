//! weir, the user half: probes, sources, the pipeline, sinks. One direction only, but for the guard.
//!
//! A library so that benchmarks and tests reach its parts; the command is `main.rs`.

mod cli;
mod doctor;
mod guard;
mod memory;
mod probe;
mod run;
mod serve;
mod sink;
mod source;

pub use cli::run;
pub use probe::{
    attach::attach_syscall_exit,
    load::Limits,
    serve::{Probes, Trial},
    table::{Entry, Hook, PROBES, Part, Probe},
};
pub use source::reader::{EdgeMemory, Reader, Reading, Spent};
