//! The kernel tests on every kernel that weir supports, each in a virtual machine with nothing but itself.

mod boot;
mod image;
mod kernel;
mod report;

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use weir_vm_init::{Plan, TestProgram};

use crate::arch::Arch;
use crate::command::{root, run};
use crate::concurrent::at_once;
use crate::dist::{self, guest_build};
use crate::programs::{self, Kind};
use crate::run::target_dir;
use crate::setup::{Extra, setup};

use image::Program;
use kernel::{Kernel, SERIES, Series};
use report::Findings;

/// Tests that no guest runs, by a part of `file::name`, each with the reason. They run on the machine's own kernel.
const LEFT_OUT: &[(&str, &str)] = &[
    ("accuracy::", "compares latencies with those that clients measure: an emulator's time is too coarse for it"),
    ("bench::", "measures cost, which means nothing in an emulator"),
    ("bytes::curl_over_tls", "compares with the client's clock, which an emulator makes as slow as the client"),
    ("chain::", "PostgreSQL's libraries are larger than all else in a guest"),
    ("budget::", "the budget of program sizes is kept for real machines; the table shows each kernel's"),
    ("containers::", "podman and runc with their libraries are larger than all else in a guest"),
    ("idle_cost::", "measures cost, which means nothing in an emulator"),
    ("memory::", "watches memory for minutes, which does not depend on the kernel"),
    ("self_protection::", "drives weir over a CPU budget, which an emulator does at rest"),
    ("explain::", "judges windows, which does not depend on the kernel"),
    ("fds::", "judges windows for a minute, which does not depend on the kernel"),
    ("listen_overflow::", "judges windows for half a minute, which does not depend on the kernel"),
    ("peer_not_reading::", "judges windows for half a minute, which does not depend on the kernel"),
    ("pool_exhausted::", "compares hand-offs within milliseconds, for which an emulator's time is too coarse"),
    ("ports::", "judges windows for half a minute, which does not depend on the kernel"),
    ("unix_queue::", "judges windows for half a minute, which does not depend on the kernel"),
    ("signals::", "judges windows for a minute each, which does not depend on the kernel"),
    ("sys_exit_accept::the_wait_is_", "compares with the client's clock, for which an emulator's time is too coarse"),
    ("throttle::", "judges windows for half a minute, and guests have no cgroup controllers"),
    ("ownership::postgres_", "PostgreSQL's libraries are larger than all else in a guest"),
];
/// Tests that differ little from others, or from what every guest does before its tests (it asks doctor): where several
/// kernels run, what contains one of these is left out. One kernel alone runs everything, and so do all with `--whole`:
/// half as long again. No hook and no signal is only in one of these.
const VARIANTS: &[&str] = &[
    "_over_ipv6",
    "backends::nothing_behind_",
    "backends::two_backends_",
    "dns::a_name_is_",
    "dns::a_reply_that_falls_back_",
    "dns::an_ipv",
    "dns::many_lookups_",
    "doctor::",
    "groups::",
    "inet_sk_error_report::a_failed_connect_",
    "inet_sock_set_state::a_lost_syn_",
    "inet_sock_set_state::connects_that_do_not_wait",
    "inet_sock_set_state::reported_unreachable_",
    "iter_task_file::connections_that_wait",
    "iter_task_file::idle_connections_of_other",
    "iter_task_file::old_and_new_",
    "iter_task_file::the_first_move_",
    "joins::old_connections_through_",
    "joins::the_same_addresses_twice",
    "json_shape::",
    "kill9::ctrl_c_",
    "limits::more_of_both",
    "limits::within_the_limits",
    "missing_probe::the_table",
    "ownership::nginx_",
    "ownership::the_forked_workers",
    "record_replay::",
    "short_connections::over_ipv4_",
    "short_connections::over_ipv6",
    "short_connections::while_a_command_runs",
    "short_processes::none_is_",
    "sock_recv_length::what_comes_after_",
    "sys_exit_connect::a_route_",
    "tcp_destroy_sock::failed_",
    "tcp_receive_reset::a_refusal_",
    "tcp_retransmit_skb::an_open_connection_",
    "tcp_retransmit_synack::handshakes_that_complete_",
    "tcp_send_reset::a_client_",
];
/// What one test may take. The longest takes 20 s on a real machine.
const TEST_LIMIT: Duration = Duration::from_secs(150);
/// Booting, and then anything that is reported.
const SILENCE: Duration = Duration::from_secs(180);
/// An emulated processor is so much slower that what must happen "in time" may take this much longer.
const SLOW: &str = "10";
/// Guests at the same time: each keeps one processor of the host busy most of the time.
const AT_ONCE: usize = 2;

/// The architecture of `Options::of_the_ends`.
const ENDS_ARCH: Arch = Arch::X86_64;

/// Every kernel there is.
const ALL: &str = "all";

/// What to run.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Kernel series, such as 6.1; may be repeated [default: all]
    #[arg(long = "kernel", value_name = "SERIES")]
    kernels: Vec<String>,
    /// Architecture of the guests
    #[arg(long, value_enum, default_value = "x86_64")]
    arch: Arch,
    /// Only tests whose `file::name` contains this; may be repeated
    #[arg(long = "test", value_name = "FILTER")]
    filters: Vec<String>,
    /// Do as if the kernels refused this probe or entry, such as `fexit tcp_sendmsg`; may be repeated
    #[arg(long = "refuse", value_name = "ENTRY")]
    refused: Vec<String>,
    /// Also write what came of it as a document
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Run variants of tests on each of several kernels, too
    #[arg(long)]
    whole: bool,
    /// Fetch kernels and programs anew, the newest of each series
    #[arg(long)]
    fresh: bool,
}

impl Options {
    /// Everything on the oldest and on the newest kernel, on x86_64.
    pub(crate) fn of_the_ends() -> Self {
        let kernels = SERIES.first().into_iter().chain(SERIES.last()).map(|series| series.name.into()).collect();
        Self {
            kernels,
            arch: ENDS_ARCH,
            filters: Vec::new(),
            refused: Vec::new(),
            json: None,
            whole: false,
            fresh: false,
        }
    }

    /// What to type for the same kernels.
    pub(crate) fn command(&self) -> String {
        format!("cargo xtask {}", self.arguments().join(" "))
    }

    /// The task and its arguments for the same kernels.
    pub(crate) fn arguments(&self) -> Vec<&str> {
        let kernels = self.kernels.iter().flat_map(|series| ["--kernel", series]);
        ["vm", "--arch", self.arch.name()].into_iter().chain(kernels).collect()
    }
}

/// Runs them, and fails unless everything is there and passes on every kernel.
pub(crate) fn vm(options: &Options) -> Result<()> {
    let series = chosen(&options.kernels)?;
    setup(Extra::Vm)?;
    let cache = cache()?;
    let arch = options.arch;
    // Everything from the network first, so that its absence is known at once.
    let kernels: Vec<Kernel> =
        series.iter().map(|series| series.kernel(&cache, arch, options.fresh)).collect::<Result<_>>()?;
    let userland = image::userland(&cache, arch, options.fresh)?;
    let (mut plan, programs) = built(arch, &options.filters)?;
    plan.environment.push(("WEIR_REFUSE".into(), options.refused.join(";")));

    if kernels.len() > 1 && !options.whole && options.filters.is_empty() {
        let why = "a variant of others: runs with --whole, and where one kernel runs alone";
        plan.left_out.extend(VARIANTS.iter().map(|part| ((*part).into(), why.into())));
    }
    // The newest first: their verifiers take longest, and what is left for the end should be short.
    let newest_first: Vec<&Kernel> = kernels.iter().rev().collect();
    let findings = at_once(AT_ONCE, &newest_first, |kernel| guest(kernel, &userland, &programs, &plan));
    let findings = findings.into_iter().rev().collect::<Result<Vec<_>>>()?;
    println!("{}", report::text(&findings));
    if let Some(path) = &options.json {
        let document = serde_json::to_string_pretty(&findings).context("encode the findings")? + "\n";
        fs::write(path, document).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let unwell = findings.iter().filter(|findings| !findings.is_well()).count();
    ensure!(unwell == 0, "{unwell} of {} kernels: see above", findings.len());
    Ok(())
}

fn guest(kernel: &Kernel, userland: &Path, programs: &[Program], plan: &Plan) -> Result<Findings> {
    let dir = target_dir().join("vm").join(format!("{}-{}", kernel.series, kernel.arch.name()));
    fs::create_dir_all(&dir).with_context(|| format!("cannot create {}", dir.display()))?;
    let memory_disk = dir.join("initrd");
    image::write(&memory_disk, userland, kernel, programs, plan)?;
    let guest = boot::boot(kernel, &memory_disk, &dir, SILENCE)?;
    Ok(Findings::of(&guest))
}

/// Builds everything that runs in the guests.
fn built(arch: Arch, filters: &[String]) -> Result<(Plan, Vec<Program>)> {
    // The optimised build does most of its work on one processor.
    let (weir, tests) = thread::scope(|scope| {
        let weir = scope.spawn(|| dist::build(arch));
        let tests = built_tests(arch);
        (weir.join().expect("the thread that builds weir"), tests)
    });
    let (weir, Executables { tests, helpers }) = (weir?, tests?);
    ensure!(!tests.is_empty(), "cargo built no tests");
    let init = target_dir().join(arch.target()).join("debug/weir-vm-init");

    let mut programs =
        vec![Program { from: init, to: "/weir-vm/init".into() }, Program { from: weir, to: "/weir-vm/weir".into() }];
    // The tests know their helpers by the path that cargo built them into.
    programs.extend(helpers.into_iter().map(|path| Program { to: path.display().to_string(), from: path }));
    let mut plan = Plan {
        modules: Vec::new(),
        weir: "/weir-vm/weir".into(),
        programs: Vec::new(),
        filters: filters.to_vec(),
        left_out: LEFT_OUT.iter().map(|(test, why)| ((*test).into(), (*why).into())).collect(),
        environment: [
            ("PATH", image::PATH),
            ("WEIR_BIN", "/weir-vm/weir"),
            ("WEIR_TEST_SLOW", SLOW),
            ("RUST_BACKTRACE", "0"),
        ]
        .map(|(name, value)| (name.into(), value.into()))
        .to_vec(),
        emulated: boot::is_emulated(arch),
        limit_s: TEST_LIMIT.as_secs(),
    };
    for (file, from) in tests {
        let path = format!("/weir-vm/tests/{file}");
        plan.programs.push(TestProgram { file, path: path.clone() });
        programs.push(Program { from, to: path });
    }
    Ok((plan, programs))
}

/// Builds the guests' first process and the tests.
fn built_tests(arch: Arch) -> Result<Executables> {
    let [mut init, mut tests] = guest_builds(arch);
    run(&mut init)?;
    let (tests, others): (Vec<_>, Vec<_>) = programs::built(tests.arg(programs::MESSAGES))?
        .into_iter()
        .partition(|program| program.kind == Kind::IntegrationTest);
    // Unit tests of the harness itself need no kernel.
    let helpers = others.into_iter().filter(|program| program.kind == Kind::Binary);
    Ok(Executables {
        tests: tests.into_iter().map(|program| (program.name, program.path)).collect(),
        helpers: helpers.map(|program| program.path).collect(),
    })
}

fn guest_builds(arch: Arch) -> [Command; 2] {
    [["build", "-p", "weir-vm-init"].as_slice(), &["test", "--no-run", "-p", "weir-tests"]]
        .map(|args| guest_build(arch, args.iter().copied()))
}

/// All builds of `vm` for the architecture of `of_the_ends`: it has less to wait for if they ran before.
pub(crate) fn builds() -> Vec<Command> {
    [dist::build_command(ENDS_ARCH)].into_iter().chain(guest_builds(ENDS_ARCH)).collect()
}

/// What cargo has built.
struct Executables {
    /// Test programs, by the name of their file.
    tests: Vec<(String, PathBuf)>,
    /// What tests run.
    helpers: Vec<PathBuf>,
}

fn chosen(names: &[String]) -> Result<Vec<&'static Series>> {
    if names.is_empty() || names.iter().any(|name| name == ALL) {
        return Ok(SERIES.iter().collect());
    }
    for name in names {
        if !SERIES.iter().any(|series| series.name == name) {
            let known = SERIES.iter().map(|series| series.name).collect::<Vec<_>>().join(", ");
            bail!("there is no kernel {name}; known are {known}");
        }
    }
    Ok(SERIES.iter().filter(|series| names.iter().any(|name| name == series.name)).collect())
}

/// Where what was fetched is kept: outside of the tree, for all checkouts.
fn cache() -> Result<PathBuf> {
    let of = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = of("WEIR_VM_CACHE")
        .or_else(|| of("XDG_CACHE_HOME").map(|dir| dir.join("weir/vm")))
        .or_else(|| of("HOME").map(|dir| dir.join(".cache/weir/vm")))
        .context("no place for the cache: set WEIR_VM_CACHE")?;
    // apt takes a relative path from its own idea of a root.
    Ok(root().join(cache))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_are_chosen_by_series() {
        let names = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(|name| (*name).into()).collect();
            chosen(&names).map(|series| series.iter().map(|series| series.name).collect::<Vec<_>>())
        };
        assert_eq!(names(&[]).expect("all").len(), SERIES.len());
        assert_eq!(names(&["all"]).expect("all").len(), SERIES.len());
        assert_eq!(names(&["6.12", "5.10"]).expect("two"), ["5.10", "6.12"]);
        assert!(names(&["6.13"]).expect_err("no such series").to_string().contains("5.10, 6.1, 6.12"));
    }

    #[test]
    fn every_file_that_is_left_out_is_there() {
        for (test, _) in LEFT_OUT {
            let file = test.split("::").next().expect("a file");
            let path = root().join("tests/tests").join(file).with_extension("rs");
            assert!(path.exists(), "{} is left out and does not exist", path.display());
        }
    }
}
