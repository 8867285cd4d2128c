//! What the kernel made of a program: how much it had to check, how much it will run.

use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::programs::{Program, ProgramError, ProgramInfo};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;

/// A loaded program's size and what loading it took. A number that the kernel does not tell is null.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ProgramSize {
    /// Instructions that the verifier walked, over all paths (since 5.16).
    pub(crate) verified_instructions: Option<u32>,
    /// Byte code after the verifier's rewriting.
    pub(crate) translated_bytes: Option<u32>,
    /// Machine code; null where programs are interpreted.
    pub(crate) machine_code_bytes: Option<u32>,
    /// Stack of its own frame and of each function it calls, together: at most this is in use at once.
    pub(crate) stack_bytes: Option<u32>,
    /// From the system call to its return, milliseconds.
    pub(crate) load_ms: f64,
}

impl ProgramSize {
    /// Of a program that has been loaded.
    pub(crate) fn of(program: &Program, stack_bytes: Option<u32>, load: Duration) -> Option<Self> {
        let info = info(program).ok()?;
        Some(Self {
            verified_instructions: info.verified_instruction_count(),
            translated_bytes: info.size_translated(),
            machine_code_bytes: Some(info.size_jitted()).filter(|bytes| *bytes > 0),
            stack_bytes,
            load_ms: (load.as_secs_f64() * 1e6).round() / 1e3,
        })
    }
}

fn info(program: &Program) -> Result<ProgramInfo> {
    match program {
        Program::BtfTracePoint(program) => program.info(),
        Program::TracePoint(program) => program.info(),
        Program::Iter(program) => program.info(),
        Program::FEntry(program) => program.info(),
        Program::FExit(program) => program.info(),
        Program::KProbe(program) => program.info(),
        _ => anyhow::bail!("not a kind of program that weir has"),
    }
    .context("bpf(BPF_OBJ_GET_INFO_BY_FD)")
}

/// The stack that the verifier found. It says so only in the log of a load, and aya keeps that log only of loads that
/// fail: so this one is made to fail at its very end, where the program would get its descriptor.
pub(crate) fn stack_bytes(load: impl FnOnce() -> Result<()>) -> Option<u32> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..limit }).ok()?;
    let outcome = load();
    setrlimit(Resource::Nofile, limit).ok()?;
    match outcome.err()?.downcast_ref()? {
        ProgramError::LoadError { verifier_log, .. } => sum_of_frames(&verifier_log.to_string()),
        _ => None,
    }
}

/// The sum in `stack depth 16+0+72`.
fn sum_of_frames(log: &str) -> Option<u32> {
    let depths = log.lines().find_map(|line| line.strip_prefix("stack depth "))?;
    depths.split('+').map(|depth| depth.trim().parse::<u32>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_frames_count() {
        let log = "verification time 12 usec\nstack depth 16+0+72\nprocessed 9 insns (limit 1000000)";
        assert_eq!(sum_of_frames(log), Some(88));
        assert_eq!(sum_of_frames("stack depth 8"), Some(8));
        assert_eq!(sum_of_frames("stack depth 8+?"), None);
        assert_eq!(sum_of_frames(""), None);
    }
}
