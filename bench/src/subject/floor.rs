//! The floors: programs of the bench's own on every hook of weir's table that fires by itself.

use std::os::fd::OwnedFd;

use anyhow::{Context as _, Result, bail};
use aya::{Btf, Ebpf, programs::Program};
use weir_agent::{Hook, PROBES, attach_syscall_exit};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/weir-bench-floors"));

/// Attached floors; dropping them detaches them.
pub(crate) struct Floor {
    _ebpf: Ebpf,
    _events: Vec<OwnedFd>,
}

impl Floor {
    /// Attaches the programs called `<kind>_<hook>`. Hooks that this kernel lacks are passed over, as weir does.
    pub(crate) fn attach(kind: &str) -> Result<Self> {
        let mut ebpf = Ebpf::load(OBJECT).context("load the floors")?;
        let types = Btf::from_sys_fs().context("the kernel's BTF")?;
        let mut events = Vec::new();
        let firsts = PROBES.iter().filter(|probe| probe.always).map(|probe| (probe, &probe.entries[0].parts[0]));
        for (probe, part) in firsts.filter(|(_, part)| part.hook != Hook::Iterator) {
            let name = format!("{kind}_{}", probe.name);
            let program = ebpf.program_mut(&name).with_context(|| format!("the floors have no program {name}"))?;
            match (part.hook, program) {
                (Hook::TpBtf, Program::BtfTracePoint(program)) => {
                    if program.load(part.target, &types).is_err() && !probe.required {
                        continue;
                    }
                    program.attach().with_context(|| format!("attach {name}"))?;
                }
                (Hook::SyscallExit, Program::TracePoint(program)) => {
                    program.load().with_context(|| format!("load {name}"))?;
                    events.push(attach_syscall_exit(program.fd()?, part.target)?);
                }
                _ => bail!("{name} is built for another kind of hook than {:?}: this is a bug", part.hook),
            }
        }
        Ok(Self { _ebpf: ebpf, _events: events })
    }
}
