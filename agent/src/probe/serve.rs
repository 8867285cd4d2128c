//! Serves every probe with the best entry that the kernel accepts. The failure of a program costs only what its probe provides.

use std::{
    collections::BTreeMap,
    os::fd::{AsFd as _, OwnedFd},
    time::Instant,
};

use anyhow::{Context as _, Result, bail, ensure};
use aya::{Ebpf, maps::Map, programs::Program};
use weir_abi::{Features, ProbeName};
use weir_engine::ProbeState;

use super::{
    control::ControlMap,
    kernel::Kernel,
    kernel_log::KernelLog,
    load::{self, Limits},
    program::{self, Link},
    scan::{self, Phase},
    size::{ProgramSize, VerifierLog},
    table::{Entry, Hook, PROBES, Part, Probe},
};

/// The running kernel half. Dropping it, like the end of the process, detaches and frees all of it.
pub struct Probes {
    /// Programs and maps.
    pub(crate) ebpf: Ebpf,
    /// The state of each probe, in table order.
    pub(crate) served: Vec<Served>,
    /// The kernel half's log; none while it is off.
    pub(crate) log: Option<KernelLog>,
    /// Settings that change while it runs.
    pub(crate) control: ControlMap,
    /// The statics' map, which must stay open.
    statics: Option<OwnedFd>,
    /// Links that keep the probes attached.
    links: BTreeMap<ProbeName, Vec<Link>>,
}

/// The state of a probe.
#[derive(Debug)]
pub(crate) struct Served {
    probe: ProbeName,
    /// As reported in outputs.
    pub(crate) state: ProbeState,
    /// The entry that serves it; none if it is missing.
    pub(crate) entry: Option<&'static Entry>,
    /// Better entries, and why the kernel did not accept them.
    pub(crate) passed_over: Vec<(&'static Entry, String)>,
    /// The size of its program, where that was measured.
    pub(crate) size: Option<ProgramSize>,
}

/// A probe to be served: its entries before `next` have failed.
struct Candidate {
    probe: &'static Probe,
    next: usize,
    passed_over: Vec<(&'static Entry, String)>,
    size: Option<ProgramSize>,
}

/// How to start.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trial<'a> {
    /// Probes or entries to treat as if the kernel refused them: for tests.
    pub refuse: &'a [String],
    /// Measure the size of each program: each is verified twice.
    pub measure: bool,
}

impl Probes {
    /// Loads and attaches every probe, then makes records of existing sockets.
    ///
    /// # Errors
    /// If the kernel has no BTF, refuses the maps, or cannot run one of the required probes.
    pub fn start(limits: Limits, trial: Trial<'_>) -> Result<Self> {
        let probes = Self::try_all(limits, trial)?;
        for (probe, served) in PROBES.iter().zip(&probes.served) {
            if let (true, Some(reason)) = (probe.required, &served.state.missing) {
                bail!("probe {} ({}) cannot run: {reason}", probe.name, probe.provides);
            }
        }
        Ok(probes)
    }

    /// The same, but the failure of a probe is no error: see `served`.
    ///
    /// # Errors
    /// If the kernel has no BTF or refuses the maps.
    pub(crate) fn try_all(limits: Limits, trial: Trial<'_>) -> Result<Self> {
        load::raise_locked_memory();
        let kernel = Kernel::read()?;
        let mut features = Features { accept_queues: limits.accept_queues.into(), ..kernel.features() };
        let mut candidates = PROBES.iter().map(Candidate::of).collect();
        loop {
            let mut probes = Self::prepare(limits, &kernel, features)?;
            let left = probes.attach_all(candidates, limits, &kernel, trial);
            // Whether trampolines work is known only after one has been attached. If one of the programs gets untyped sockets,
            // all programs must keep spilled records where it finds them: everything is loaded once more, without the entries
            // that have failed.
            if features.spill_in_map == 0 && probes.served.iter().filter_map(|s| s.entry).any(Entry::is_untyped) {
                features.spill_in_map = 1;
                candidates = left;
                continue;
            }
            return Ok(probes);
        }
    }

    /// Everything but the programs.
    fn prepare(limits: Limits, kernel: &Kernel, features: Features) -> Result<Self> {
        let mut ebpf = load::object(&kernel.offsets()?, features, limits)?;
        load::fill_free_slots(&mut ebpf, limits)?;
        let control = ControlMap::take(&mut ebpf, limits.sockets)?;
        let log = limits.kernel_log.then(|| KernelLog::of(&mut ebpf)).transpose()?;
        Ok(Self { ebpf, served: Vec::new(), log, control, statics: None, links: BTreeMap::new() })
    }

    /// All programs are verified before the first is attached, so that attaching two hooks that belong together takes
    /// microseconds, and not the verifier's milliseconds. Returns the candidates without the entries that failed.
    fn attach_all(
        &mut self,
        mut candidates: Vec<Candidate>,
        limits: Limits,
        kernel: &Kernel,
        trial: Trial<'_>,
    ) -> Vec<Candidate> {
        for candidate in candidates.iter_mut().filter(|candidate| candidate.is_wanted(limits)) {
            self.load_next(candidate, kernel, trial);
        }
        for candidate in &mut candidates {
            let wanted = candidate.is_wanted(limits);
            let entry = if wanted { self.attach_next(candidate, kernel, trial) } else { None };
            self.served.push(candidate.served(entry, wanted));
        }
        self.forget_statics();
        candidates
    }

    /// Loads the first of the remaining entries that the kernel accepts.
    fn load_next(&mut self, candidate: &mut Candidate, kernel: &Kernel, trial: Trial<'_>) {
        while let Some(entry) = candidate.entry() {
            match self.load_entry(candidate.probe, entry, kernel, trial) {
                Ok(size) => {
                    candidate.size = size;
                    return;
                }
                Err(error) => candidate.pass_over(&error),
            }
        }
    }

    /// Attaches the loaded entry, or else the next one that can be; none if none can.
    fn attach_next(&mut self, candidate: &mut Candidate, kernel: &Kernel, trial: Trial<'_>) -> Option<&'static Entry> {
        while let Some(entry) = candidate.entry() {
            match self.attach_entry(candidate.probe.name, entry, kernel) {
                Ok(()) => return Some(entry),
                Err(error) => {
                    candidate.pass_over(&error);
                    self.load_next(candidate, kernel, trial);
                }
            }
        }
        None
    }

    fn load_entry(
        &mut self,
        probe: &Probe,
        entry: &Entry,
        kernel: &Kernel,
        trial: Trial<'_>,
    ) -> Result<Option<ProgramSize>> {
        let named = |name: &String| name == probe.name.as_str() || *name == entry.to_string();
        ensure!(!trial.refuse.iter().any(named), "refused on purpose (--refuse-probe)");
        let mut size = None;
        for (n, part) in wanted_parts(entry, kernel).enumerate() {
            if let Some(obstacle) = kernel.obstacle(part) {
                bail!(obstacle);
            }
            let program = self.program(part.program)?;
            if trial.measure && n == 0 {
                let log = VerifierLog::by_failing(|| program::load(program, part, &kernel.attach_types));
                let began = Instant::now();
                program::load(program, part, &kernel.attach_types)?;
                size = ProgramSize::of(program, log, began.elapsed());
            } else {
                program::load(program, part, &kernel.attach_types)?;
            }
        }
        Ok(size)
    }

    fn attach_entry(&mut self, probe: ProbeName, entry: &Entry, kernel: &Kernel) -> Result<()> {
        if entry.parts[0].hook == Hook::Iterator {
            for phase in [Phase::Listening, Phase::Clients, Phase::Rest] {
                scan::run(&mut self.ebpf, entry.parts[0].program, phase)?;
            }
            return Ok(());
        }
        self.attach_parts(probe, wanted_parts(entry, kernel))
    }

    /// All of them, or none.
    fn attach_parts<'p>(&mut self, probe: ProbeName, parts: impl Iterator<Item = &'p Part>) -> Result<()> {
        let links: Result<_> = parts.map(|part| program::attach(self.program(part.program)?, part)).collect();
        self.links.insert(probe, links?);
        Ok(())
    }

    fn program(&mut self, name: &str) -> Result<&mut Program> {
        self.ebpf.program_mut(name).with_context(|| format!("weir's object has no program {name}: this is a bug"))
    }

    fn entry_of(&self, probe: ProbeName) -> Option<&'static Entry> {
        self.served.iter().find(|served| served.probe == probe)?.entry
    }

    /// Detaches a probe, or attaches it again. Nothing happens to one that could not run.
    pub(crate) fn switch(&mut self, probe: ProbeName, on: bool) -> Result<()> {
        if !on {
            self.links.remove(&probe);
            return Ok(());
        }
        let Some(entry) = self.entry_of(probe).filter(|_| !self.links.contains_key(&probe)) else { return Ok(()) };
        let parts = entry.parts.iter().filter(|part| !part.where_present);
        self.attach_parts(probe, parts).with_context(|| format!("attach {probe} again"))
    }

    /// Ends idle rounds, and makes records of sockets that no hook has seen.
    pub(crate) fn settle(&mut self) -> Result<()> {
        match self.entry_of(ProbeName::IterTaskFile) {
            Some(entry) => scan::run(&mut self.ebpf, entry.parts[0].program, Phase::Settle),
            None => Ok(()),
        }
    }

    /// aya keeps the initial content of the statics: 2 MiB of zeroes for the table of socket records. Only the descriptor is
    /// kept, by which the memory of the map is counted.
    fn forget_statics(&mut self) {
        if let Some(Map::Array(statics)) = self.ebpf.take_map(".bss")
            && let Ok(descriptor) = statics.fd().as_fd().try_clone_to_owned()
        {
            self.statics = Some(descriptor);
        }
    }
}

impl Candidate {
    fn of(probe: &'static Probe) -> Self {
        Self { probe, next: 0, passed_over: Vec::new(), size: None }
    }

    fn entry(&self) -> Option<&'static Entry> {
        self.probe.entries.get(self.next)
    }

    fn pass_over(&mut self, error: &anyhow::Error) {
        self.passed_over.push((&self.probe.entries[self.next], in_one_line(error)));
        self.next += 1;
    }

    fn is_wanted(&self, limits: Limits) -> bool {
        self.probe.always || limits.accept_queues
    }

    /// A probe that is not wanted is not missing.
    fn served(&self, entry: Option<&'static Entry>, wanted: bool) -> Served {
        let missing = (wanted && entry.is_none()).then(|| match self.passed_over.as_slice() {
            [(_, reason)] => reason.clone(),
            all => all.iter().map(|(entry, reason)| format!("{entry}: {reason}")).collect::<Vec<_>>().join("; "),
        });
        let Probe { name, provides, .. } = *self.probe;
        Served {
            probe: name,
            state: ProbeState { name: name.as_str().into(), missing, provides: provides.into() },
            entry,
            passed_over: self.passed_over.clone(),
            size: self.size.clone().filter(|_| entry.is_some()),
        }
    }
}

/// The parts of an entry that apply to this kernel.
fn wanted_parts<'a>(entry: &'a Entry, kernel: &'a Kernel) -> impl Iterator<Item = &'a Part> {
    entry.parts.iter().filter(|part| !part.where_present || kernel.has(part))
}

/// An error in one line: the chain of causes, with the verdict in place of the verifier's log.
fn in_one_line(error: &anyhow::Error) -> String {
    let mut links: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = cause.to_string();
        let link = match text.split_once("Verifier output:") {
            Some((call, log)) => format!("{} {}", call.trim(), verdict(log)),
            None => text.lines().next().unwrap_or_default().trim().to_owned(),
        };
        if !links.iter().any(|earlier| earlier.contains(&link)) {
            links.push(link);
        }
    }
    links.join(": ")
}

/// The last line that is not one of the statistics.
fn verdict(log: &str) -> &str {
    let is_statistics =
        |line: &str| ["processed ", "verification time", "stack depth"].iter().any(|start| line.starts_with(start));
    log.lines().map(str::trim).rfind(|line| !line.is_empty() && !is_statistics(line)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_has_the_last_line_of_the_verifier() {
        let log = "Verifier output: 0: R1=ctx()\n; code\ninvalid func unknown#158\nverification time 12 usec\nstack depth 8\n";
        let error = anyhow::anyhow!("BPF_PROG_LOAD: Invalid argument (os error 22). {log}").context("load x");
        assert_eq!(
            in_one_line(&error),
            "load x: BPF_PROG_LOAD: Invalid argument (os error 22). invalid func unknown#158"
        );
        let repeated = anyhow::anyhow!("no such file").context("open x: no such file");
        assert_eq!(in_one_line(&repeated), "open x: no such file");
        assert_eq!(verdict("processed 9 insns"), "");
    }
}
