//! One program on one hook: loads and attaches it; dropping the link detaches it.

use std::os::fd::OwnedFd;

use anyhow::{Result, bail};
use aya::{
    Btf,
    programs::{Program, fentry::FEntryLink, fexit::FExitLink, kprobe::KProbeLink, tp_btf::BtfTracePointLink},
};

use super::{
    attach,
    table::{Hook, Part},
};

/// Keeps a program attached.
#[expect(dead_code, reason = "held, never read: dropping detaches")]
pub(crate) enum Link {
    TpBtf(BtfTracePointLink),
    Fentry(FEntryLink),
    Fexit(FExitLink),
    Kprobe(KProbeLink),
    SyscallExit(OwnedFd),
}

/// Loads the part's program, unless it is loaded already: the kernel verifies it.
pub(crate) fn load(program: &mut Program, part: &Part, types: &Btf) -> Result<()> {
    if program.fd().is_ok() {
        return Ok(());
    }
    match (part.hook, program) {
        (Hook::TpBtf, Program::BtfTracePoint(program)) => program.load(part.target, types)?,
        (Hook::Fentry, Program::FEntry(program)) => program.load(part.target, types)?,
        (Hook::Fexit, Program::FExit(program)) => program.load(part.target, types)?,
        (Hook::Kprobe | Hook::Kretprobe, Program::KProbe(program)) => program.load()?,
        (Hook::SyscallExit, Program::TracePoint(program)) => program.load()?,
        (Hook::Iterator, Program::Iter(program)) => program.load(part.target, types)?,
        (hook, _) => bail!("built for another kind of hook than {hook:?}: this is a bug"),
    }
    Ok(())
}

/// Attaches a loaded program. An iterator is not attached but run (`super::scan`).
pub(crate) fn attach(program: &mut Program, part: &Part) -> Result<Link> {
    Ok(match (part.hook, program) {
        (Hook::TpBtf, Program::BtfTracePoint(program)) => {
            let id = program.attach()?;
            Link::TpBtf(program.take_link(id)?)
        }
        (Hook::Fentry, Program::FEntry(program)) => {
            let id = program.attach()?;
            Link::Fentry(program.take_link(id)?)
        }
        (Hook::Fexit, Program::FExit(program)) => {
            let id = program.attach()?;
            Link::Fexit(program.take_link(id)?)
        }
        (Hook::Kprobe | Hook::Kretprobe, Program::KProbe(program)) => {
            let id = program.attach(part.target, 0)?;
            Link::Kprobe(program.take_link(id)?)
        }
        (Hook::SyscallExit, Program::TracePoint(program)) => {
            Link::SyscallExit(attach::attach_syscall_exit(program.fd()?, part.target)?)
        }
        (hook, _) => bail!("built for another kind of hook than {hook:?}: this is a bug"),
    })
}
