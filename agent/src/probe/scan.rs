//! Runs the socket scan: the kernel half's `probe/iter_task_file.rs` documents each phase.

use std::{fs::File, io::Read as _};

use anyhow::{Context as _, Result};
use aya::{Ebpf, maps::Array, programs::Iter};

/// What one run of the scan does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Phase {
    /// Remember listening ports.
    Listening = 0,
    /// Make records of client sockets, so that servers find their peers.
    Clients = 1,
    /// Make records of the rest, and count sockets beyond the limit.
    Rest = 2,
    /// End idle rounds, and move gathered bytes.
    Settle = 3,
}

/// Visits every open file of every process once: some 100 ns each.
pub(crate) fn run(ebpf: &mut Ebpf, program: &str, phase: Phase) -> Result<()> {
    let map = ebpf.map_mut("SCAN_PHASE").context("the object has no map SCAN_PHASE")?;
    Array::<_, u32>::try_from(map)?.set(0, phase as u32, 0).context("set the scan's phase")?;
    let program = ebpf.program_mut(program).context("the object has no such iterator: this is a bug")?;
    let program: &mut Iter = program.try_into()?;
    let link = program.attach().context("start the socket scan")?;
    let mut file: File = program.take_link(link)?.into_file().context("open the socket scan")?;
    // The program writes nothing: end of file means that all files were visited.
    file.read_to_end(&mut Vec::new()).context("run the socket scan")?;
    Ok(())
}
