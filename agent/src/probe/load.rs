//! Loading and attaching: one program's failure costs its own signal and nothing else.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd as _, OwnedFd},
    path::Path,
    time::Instant,
};

use anyhow::{Context as _, Result, bail};
use aya::{
    Btf, Ebpf, EbpfLoader, VerifierLogLevel,
    maps::{Map, Stack},
    programs::{Program, tp_btf::BtfTracePointLinkId},
};
use weir_abi::{FIRST_SLOT, Offsets};
use weir_engine::ProbeState;

use super::{
    attach, btf,
    control::ControlMap,
    kernel_log::{self, KernelLog},
    scan::{self, Phase},
    size::{ProgramSize, stack_bytes},
    table::{Hook, PROBES, Probe},
};

static OBJECT: &[u8] = aya::include_bytes_aligned!(concat!(env!("OUT_DIR"), "/weir-probes"));

/// Sizes of the kernel half's state, and whether it talks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Edges with a record of their own; the rest share `other`.
    pub edges: u32,
    /// Sockets with a record of their own.
    pub sockets: u32,
    /// Have the kernel half log its decisions.
    pub kernel_log: bool,
    /// Build the programs so that they can follow a sample of sockets.
    pub samples: bool,
}

impl Default for Limits {
    /// 4,096 edges are 12 MiB; 65,536 sockets are 11 MiB if all are in use, and nothing while they are not.
    fn default() -> Self {
        Self { edges: 4096, sockets: 65_536, kernel_log: false, samples: false }
    }
}

/// The kernel half, running. Dropping it (or dying) detaches and frees all of it.
pub struct Probes {
    /// Programs and maps.
    pub(crate) ebpf: Ebpf,
    /// What became of each probe, in table order.
    pub(crate) states: Vec<ProbeState>,
    /// The kernel half's log, when asked for.
    pub(crate) log: Option<KernelLog>,
    /// What may be changed meanwhile.
    pub(crate) control: ControlMap,
    /// What must stay open: perf events, and the statics' map.
    events: Vec<OwnedFd>,
    /// How to detach a probe, by name.
    links: BTreeMap<&'static str, BtfTracePointLinkId>,
}

/// Makes the offsets a value that aya can write into `.rodata`.
#[repr(transparent)]
#[derive(Clone, Copy)]
struct Frozen(Offsets);

// SAFETY: repr(C), u32 fields only, no padding.
unsafe impl aya::Pod for Frozen {}

impl Probes {
    /// Loads every probe and attaches it, then takes up the sockets that exist.
    ///
    /// # Errors
    /// When the kernel has no BTF, refuses the maps, or one of the required probes does not run.
    pub fn start(limits: Limits) -> Result<Self> {
        let probes = Self::try_all(limits)?;
        for (probe, state) in PROBES.iter().zip(&probes.states) {
            if let (true, Some(reason)) = (probe.required, &state.missing) {
                bail!("probe {} ({}) cannot run: {reason}", probe.name, probe.provides);
            }
        }
        Ok(probes)
    }

    /// The same, but no probe's failure is an error: see `states`.
    ///
    /// # Errors
    /// When the kernel has no BTF or refuses the maps.
    pub(crate) fn try_all(limits: Limits) -> Result<Self> {
        let (mut probes, kernel_types) = Self::prepare(limits, VerifierLogLevel::default())?;
        // All are verified before the first attaches: between two hooks that belong together lie microseconds of the
        // kernel's traffic, not the verifier's milliseconds.
        let loaded: Vec<Result<()>> = PROBES.iter().map(|probe| probes.verify(probe, &kernel_types)).collect();
        probes.attach_all(loaded);
        Ok(probes)
    }

    /// The same, and what the kernel made of each probe's program, in table order. Each is verified twice.
    ///
    /// # Errors
    /// When the kernel has no BTF or refuses the maps.
    pub(crate) fn try_and_measure_all(limits: Limits) -> Result<(Self, Vec<Option<ProgramSize>>)> {
        let (mut probes, kernel_types) = Self::prepare(limits, VerifierLogLevel::STATS)?;
        let mut measure = |probe: &Probe| -> Result<Option<ProgramSize>> {
            let stack = stack_bytes(|| probes.verify(probe, &kernel_types));
            let began = Instant::now();
            probes.verify(probe, &kernel_types)?;
            let took = began.elapsed();
            Ok(ProgramSize::of(probes.program(probe)?, stack, took))
        };
        let (sizes, loaded) = PROBES
            .iter()
            .map(|probe| match measure(probe) {
                Ok(size) => (size, Ok(())),
                Err(error) => (None, Err(error)),
            })
            .unzip();
        probes.attach_all(loaded);
        Ok((probes, sizes))
    }

    /// Everything but the programs.
    fn prepare(limits: Limits, log_level: VerifierLogLevel) -> Result<(Self, Btf)> {
        let offsets = kernel_offsets()?;
        let mut ebpf = load_object(&offsets, limits, log_level)?;
        fill_free_slots(&mut ebpf, limits)?;
        let control = ControlMap::take(&mut ebpf, limits.sockets)?;
        let log = limits.kernel_log.then(|| KernelLog::of(&mut ebpf)).transpose()?;
        let kernel_types = Btf::from_sys_fs().context("cannot read the kernel's BTF")?;
        let probes = Self { ebpf, states: Vec::new(), log, control, events: Vec::new(), links: BTreeMap::new() };
        Ok((probes, kernel_types))
    }

    fn attach_all(&mut self, loaded: Vec<Result<()>>) {
        for (probe, loaded) in PROBES.iter().zip(loaded) {
            let missing = loaded.and_then(|()| self.attach(probe)).err().map(|error| in_one_line(&error));
            self.states.push(ProbeState { name: probe.name.into(), missing, provides: probe.provides.into() });
        }
        self.forget_statics();
    }

    /// aya keeps what it filled the statics with: 2 MiB of zeroes for the table of socket records. The descriptor stays, as
    /// the map is counted by it.
    fn forget_statics(&mut self) {
        if let Some(Map::Array(statics)) = self.ebpf.take_map(".bss")
            && let Ok(descriptor) = statics.fd().as_fd().try_clone_to_owned()
        {
            self.events.push(descriptor);
        }
    }

    fn verify(&mut self, probe: &Probe, kernel_types: &Btf) -> Result<()> {
        match (probe.hook, self.program(probe)?) {
            (Hook::TpBtf, Program::BtfTracePoint(program)) => program.load(probe.target, kernel_types)?,
            (Hook::SyscallExit, Program::TracePoint(program)) => program.load()?,
            (Hook::Iterator, Program::Iter(program)) => program.load(probe.target, kernel_types)?,
            (hook, _) => bail!("built for another kind of hook than {hook:?}: this is a bug"),
        }
        Ok(())
    }

    fn attach(&mut self, probe: &Probe) -> Result<()> {
        match (probe.hook, self.program(probe)?) {
            (Hook::TpBtf, Program::BtfTracePoint(program)) => {
                let link = program.attach()?;
                self.links.insert(probe.name, link);
            }
            (Hook::SyscallExit, Program::TracePoint(program)) => {
                let event = attach::attach_syscall_exit(program.fd()?, probe.target)?;
                self.events.push(event);
            }
            (Hook::Iterator, Program::Iter(_)) => {
                for phase in [Phase::Listening, Phase::Clients, Phase::Rest] {
                    scan::run(&mut self.ebpf, phase)?;
                }
            }
            (hook, _) => bail!("built for another kind of hook than {hook:?}: this is a bug"),
        }
        Ok(())
    }

    fn program(&mut self, probe: &Probe) -> Result<&mut Program> {
        self.ebpf.program_mut(probe.name).context("not in weir's object: this is a bug")
    }

    /// Detaches a probe that runs on a tracepoint, or attaches it again. Nothing happens to one that could not run.
    pub(crate) fn switch(&mut self, name: &'static str, on: bool) -> Result<()> {
        let Some(probe) = PROBES.iter().find(|probe| probe.name == name) else { return Ok(()) };
        let runs = self.states.iter().any(|state| state.name == name && state.missing.is_none());
        match (on, self.links.remove(name)) {
            (true, None) if runs => self.attach(probe).with_context(|| format!("attach {name} again")),
            (false, Some(link)) => {
                let Program::BtfTracePoint(program) = self.program(probe)? else { return Ok(()) };
                program.detach(link).with_context(|| format!("detach {name}"))
            }
            (_, Some(link)) => {
                self.links.insert(name, link);
                Ok(())
            }
            (_, None) => Ok(()),
        }
    }

    /// Settles idle rounds and takes up what no hook has seen.
    pub(crate) fn settle(&mut self) -> Result<()> {
        let scans = self.states.iter().any(|s| s.name == "iter_task_file" && s.missing.is_none());
        if scans { scan::run(&mut self.ebpf, Phase::Settle) } else { Ok(()) }
    }
}

/// Every offset the kernel half needs, from the running kernel.
pub(crate) fn kernel_offsets() -> Result<Offsets> {
    let types = btf::Btf::of_kernel(Path::new(btf::VMLINUX))?;
    Offsets::resolve(|path| types.offset(path))
}

fn load_object(offsets: &Offsets, limits: Limits, log_level: VerifierLogLevel) -> Result<Ebpf> {
    EbpfLoader::new()
        .verifier_log_level(log_level)
        .override_global("OFFSETS", &Frozen(*offsets), true)
        .override_global("SAMPLING", &u32::from(limits.samples), true)
        .override_global(aya_log::LEVEL, &kernel_log::level(limits.kernel_log), true)
        .map_max_entries("EDGES", limits.edges + FIRST_SLOT)
        .map_max_entries("EDGE_SLOTS", limits.edges)
        .map_max_entries("FREE_SLOTS", limits.edges)
        .load(OBJECT)
        .context("cannot create weir's maps")
}

/// Hands all slots but `other` to the kernel half, the lowest on top: slots in use stay together.
fn fill_free_slots(ebpf: &mut Ebpf, limits: Limits) -> Result<()> {
    let map = ebpf.map_mut("FREE_SLOTS").context("the object has no map FREE_SLOTS")?;
    let mut free = Stack::<_, u32>::try_from(map)?;
    for slot in (FIRST_SLOT..FIRST_SLOT + limits.edges).rev() {
        free.push(slot, 0).context("fill the free slots")?;
    }
    Ok(())
}

/// An error in one line: the chain of causes, with the verifier's log cut to its last words.
fn in_one_line(error: &anyhow::Error) -> String {
    let chain: Vec<String> = error
        .chain()
        .map(|cause| {
            let text = cause.to_string();
            let mut lines = text.lines().map(str::trim).filter(|l| !l.is_empty());
            let first = lines.next().unwrap_or_default().to_owned();
            match lines.rfind(|l| !l.starts_with("processed ") && !l.starts_with("verification time")) {
                Some(last) => format!("{first} … {last}"),
                None => first,
            }
        })
        .collect();
    let mut chain_without_repeats: Vec<String> = Vec::new();
    for link in chain {
        if !chain_without_repeats.iter().any(|seen| seen.contains(&link)) {
            chain_without_repeats.push(link);
        }
    }
    chain_without_repeats.join(": ")
}
