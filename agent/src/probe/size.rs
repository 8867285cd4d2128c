//! The size of a loaded program: for the verifier, and as machine code.

use std::time::Duration;

use anyhow::{Context as _, Result};
use aya::programs::{Program, ProgramError, ProgramInfo};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;

/// A loaded program's size and load time. A number that the kernel does not report is null.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct ProgramSize {
    /// Instructions that the verifier walked, over all paths.
    pub(crate) verified_instructions: Option<u32>,
    /// Byte code after the verifier's rewriting.
    pub(crate) translated_bytes: Option<u32>,
    /// Machine code; null where programs are interpreted.
    pub(crate) machine_code_bytes: Option<u32>,
    /// Stack of its own frame and of all functions it calls together: an upper bound of what is in use at once.
    pub(crate) stack_bytes: Option<u32>,
    /// From the system call to its return, milliseconds.
    pub(crate) load_ms: f64,
}

impl ProgramSize {
    /// Of a loaded program, whose verifier log was read before.
    pub(crate) fn of(program: &Program, log: VerifierLog, load: Duration) -> Option<Self> {
        let info = info(program).ok()?;
        Some(Self {
            // Kernels before 5.16 have it only in the log.
            verified_instructions: info.verified_instruction_count().or(log.verified_instructions),
            translated_bytes: info.size_translated(),
            machine_code_bytes: Some(info.size_jitted()).filter(|bytes| *bytes > 0),
            stack_bytes: log.stack_bytes,
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
        _ => anyhow::bail!("not a type of program that weir has"),
    }
    .context("bpf(BPF_OBJ_GET_INFO_BY_FD)")
}

/// The numbers in the verifier's log of a program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct VerifierLog {
    stack_bytes: Option<u32>,
    verified_instructions: Option<u32>,
}

impl VerifierLog {
    /// aya keeps the log only of failed loads, so this load is made to fail at its end, where the program would get its
    /// descriptor. Kernels since 7.0 reserve the descriptor first, and write no log.
    pub(crate) fn by_failing(load: impl FnOnce() -> Result<()>) -> Self {
        let limit = getrlimit(Resource::Nofile);
        if setrlimit(Resource::Nofile, Rlimit { current: Some(0), ..limit }).is_err() {
            return Self::default();
        }
        let outcome = load();
        let _ = setrlimit(Resource::Nofile, limit);
        match outcome.as_ref().err().and_then(|error| error.downcast_ref()) {
            Some(ProgramError::LoadError { verifier_log, .. }) => Self::parse(&verifier_log.to_string()),
            _ => Self::default(),
        }
    }

    fn parse(log: &str) -> Self {
        let processed = log.lines().find_map(|line| line.strip_prefix("processed "));
        Self {
            stack_bytes: sum_of_frames(log),
            verified_instructions: processed.and_then(|rest| rest.split(' ').next()?.parse().ok()),
        }
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
        assert_eq!(VerifierLog::parse(log), VerifierLog { stack_bytes: Some(88), verified_instructions: Some(9) });
        assert_eq!(VerifierLog::parse("processed by hand"), VerifierLog::default());
        assert_eq!(sum_of_frames("stack depth 8"), Some(8));
        assert_eq!(sum_of_frames("stack depth 8+?"), None);
        assert_eq!(sum_of_frames(""), None);
    }
}
