//! weir, the user half. One direction only: probes, reader, engine, exporters.
//!
//! A library so that benchmarks and tests reach its parts; the command is `main.rs`.

mod bell;
mod cli;
mod clock;
mod doctor;
mod export;
mod guard;
pub mod identity;
mod memory;
mod observe;
mod poll;
mod probe;
mod reader;
mod recording;
mod timer;

pub use cli::{judge, run};
pub use probe::{
    attach::attach_syscall_exit,
    load::Limits,
    serve::{Probes, Trial},
    table::{Entry, Hook, PROBES, Part, Probe},
};
pub use reader::{EdgeMemory, Reader, Reading, Spent};
pub use recording::{Recorder, play};
