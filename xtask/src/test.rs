//! Everything that must hold before a change goes in.
//!
//! Builds of the binaries run beside the checks of the source, tests that only look at what is theirs run side by side, and
//! a table says where the time went.

mod alone;
mod background;
mod kept;
mod programs;
mod table;

use std::env;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::command::{Elevation, cargo, command, describe, run};
use crate::programs::{MESSAGES, Program, built};
use crate::setup::{Extra, setup};
use crate::tidy::tidy;
use crate::vm;

use background::{Background, Build};
use programs::Group;
use table::{Row, Table};

const RELEASE_BUILD: &str = "release build";
const GUESTS_BUILDS: &str = "builds for the guests";
const GUESTS: &str = "oldest and newest kernel";

/// One build of all crates for all of their tests: cargo unites the features of what it builds together, so that each
/// other choice of crates would build their dependencies, and the kernel half, once more.
const ALL_TESTS: [&str; 2] = ["test", "--workspace"];

struct Step {
    name: &'static str,
    work: Work,
}

enum Work {
    Tidy,
    Command(Command),
    /// Builds all test programs.
    TestBuild(Command),
    Tests(Group),
    /// Begins what runs beside the steps from here on.
    Begin(Build),
    /// Waits for what runs beside the steps.
    WaitFor(&'static str),
}

/// What steps need of each other.
struct State<'a> {
    filter: Option<&'a str>,
    elevation: Elevation,
    programs: Vec<Program>,
    background: Vec<Background>,
    table: Table,
}

/// Runs all steps, or with a filter those that run tests, up to the first that fails.
pub(crate) fn test(filter: Option<&str>, fast: bool) -> Result<()> {
    // Asked before the minutes of building, not after them.
    let elevation = Elevation::find("run the kernel tests")?;
    setup(Extra::Tests)?;
    if filter.is_none() && !fast {
        setup(Extra::Vm)?;
    }

    let background = vec![Background::start(builds(filter, fast))];
    let mut state = State { filter, elevation, programs: Vec::new(), background, table: Table::default() };
    let result = state.run(steps(filter, fast)?);
    state.table.background = state.background.iter().flat_map(Background::rows).cloned().collect();
    eprint!("{}", state.table.text());
    result
}

fn steps(filter: Option<&str>, fast: bool) -> Result<Vec<Step>> {
    let command = |name, command| Step { name, work: Work::Command(command) };
    let tests = |name, group| Step { name, work: Work::Tests(group) };
    let whole = filter.is_none() && !fast;
    let mut steps = Vec::new();
    if filter.is_none() {
        steps.push(Step { name: "tidy", work: Work::Tidy });
    }
    if whole {
        steps.push(command("dependencies", cargo(["deny", "--locked", "check", "bans", "licenses", "sources"])));
        steps.push(command("format", cargo(["fmt", "--all", "--check"])));
        let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
        steps.push(command("lints", cargo(clippy)));
        steps.push(command("lints of the kernel half", kernel_half_lints()));
    }
    let no_run = ["--no-run", MESSAGES];
    steps.push(Step { name: "test build", work: Work::TestBuild(cargo(ALL_TESTS.into_iter().chain(no_run))) });
    steps.push(tests("unit tests", Group::Native));
    steps.push(command("documentation tests", cargo(ALL_TESTS.into_iter().chain(["--doc"]).chain(filter))));
    steps.push(Step { name: RELEASE_BUILD, work: Work::WaitFor(RELEASE_BUILD) });
    if whole {
        // Not before: unit tests use all processors, and would leave the guests none.
        steps.push(Step { name: "guests", work: Work::Begin(guests()?) });
    }
    steps.push(tests("kernel tests, side by side", Group::SideBySide));
    steps.push(tests("kernel tests, alone", Group::Alone));
    if whole {
        steps.push(Step { name: GUESTS, work: Work::WaitFor(GUESTS) });
    }
    Ok(steps)
}

/// The ends of what is supported; what lies between is for `cargo xtask vm`. Needs the probes' entries of tier T1: without
/// them 5.10 fails, as it should.
fn guests() -> Result<Build> {
    let mut xtask = command(env::current_exe().context("the path of this program")?);
    xtask.args(vm::Options::of_the_ends().arguments());
    Ok(Build { name: GUESTS, commands: vec![yielding(&xtask)] })
}

/// What is built beside the first steps. Their builds are in another directory of target/, so none waits for the other.
fn builds(filter: Option<&str>, fast: bool) -> Vec<Build> {
    // Together, as `ALL_TESTS`: the bench has all of the agent in it.
    let release = cargo(["build", "--release", "-p", "weir", "-p", "weir-bench"]);
    let mut builds = vec![Build { name: RELEASE_BUILD, commands: vec![yielding(&release)] }];
    if filter.is_none() && !fast {
        // As `vm` does it later: then it has less to wait for.
        let commands = vm::builds().iter().map(yielding).collect();
        builds.push(Build { name: GUESTS_BUILDS, commands });
    }
    builds
}

/// The command with the lowest priority: it takes what the steps leave, a 68th beside a task that always runs. Not as an idle
/// task (`chrt --idle`): where other users keep the machine busy it would hardly run, and a guest that is silent for minutes
/// fails.
fn yielding(of: &Command) -> Command {
    // It ends with this process, however that ends.
    let mut yielding = command("setpriv");
    yielding.args(["--pdeathsig", "TERM", "nice", "-n", "19"]).arg(of.get_program()).args(of.get_args());
    yielding
}

/// The probes are compiled only for the BPF target, with the flags that agent/build.rs has aya-build use.
fn kernel_half_lints() -> Command {
    let target = ["--release", "--target", "bpfel-unknown-none", "-Z", "build-std=core"];
    let mut command = cargo(
        ["clippy", "-p", "weir-ebpf", "-p", "weir-bench-ebpf", "--bins"]
            .into_iter()
            .chain(target)
            .chain(["--", "-D", "warnings"]),
    );
    let flags = format!("--cfg=bpf_target_arch=\"{}\"", env::consts::ARCH);
    command.env("RUSTC_BOOTSTRAP", "1").env("CARGO_ENCODED_RUSTFLAGS", flags);
    command
}

// === impl State ===

impl State<'_> {
    fn run(&mut self, steps: Vec<Step>) -> Result<()> {
        let count = steps.len();
        let mut failed_before = Ok(());
        for (index, step) in steps.into_iter().enumerate() {
            let (number, name, repeat) = (index + 1, step.name, step.repeat(self.filter));
            let group = if let Work::Tests(group) = step.work { Some(group) } else { None };
            eprintln!("[{number}/{count}] {name}: {repeat}");
            let start = Instant::now();
            let result = self.step(step.work);
            self.table.steps.push(Row { name: name.into(), time: start.elapsed(), passed: result.is_ok() });
            let result = result.with_context(|| format!("step {number}, {name}, failed; repeat it with: {repeat}"));
            if group == Some(Group::SideBySide) {
                // The other kernel tests run all the same: one run shows what a change has broken.
                failed_before = result;
                continue;
            }
            result?;
            if group == Some(Group::Alone) {
                failed_before?;
                failed_before = Ok(());
            }
        }
        failed_before
    }

    fn step(&mut self, work: Work) -> Result<()> {
        match work {
            Work::Tidy => tidy(),
            Work::Command(mut command) => run(&mut command),
            Work::TestBuild(mut build) => {
                self.programs = built(&mut build)?;
                Ok(())
            }
            Work::Tests(group) => {
                programs::run(&self.programs, group, self.filter, self.elevation, &mut self.table.programs)
            }
            Work::Begin(build) => {
                self.background.push(Background::start(vec![build]));
                Ok(())
            }
            Work::WaitFor(name) => {
                let background = self.background.iter_mut().find(|background| background.runs(name));
                background.with_context(|| format!("{name} was not begun"))?.wait_for(name)
            }
        }
    }
}

// === impl Step ===

impl Step {
    fn repeat(&self, filter: Option<&str>) -> String {
        match &self.work {
            Work::Tidy => "cargo xtask tidy".into(),
            Work::Command(command) | Work::TestBuild(command) => describe(command),
            // Each program that fails names its own.
            Work::Tests(_) => describe(&cargo(["xtask", "test"].into_iter().chain(filter).chain(["--fast"]))),
            Work::Begin(build) => build.describe(),
            Work::WaitFor(GUESTS) => vm::Options::of_the_ends().command(),
            Work::WaitFor(name) => {
                let builds = builds(None, false).into_iter().filter(|build| build.name == *name);
                builds.map(|build| build.describe()).collect()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(filter: Option<&str>, fast: bool) -> Vec<&'static str> {
        steps(filter, fast).expect("steps").iter().map(|step| step.name).collect()
    }

    #[test]
    fn a_filter_leaves_only_what_runs_tests() {
        let natively = ["test build", "unit tests", "documentation tests", "release build"];
        let on_the_kernel = ["kernel tests, side by side", "kernel tests, alone"];
        let tests = [&natively[..], &on_the_kernel].concat();
        assert_eq!(names(Some("connect"), false), tests);
        assert_eq!(names(None, true), [&["tidy"][..], &tests].concat());
        let first = ["tidy", "dependencies", "format", "lints", "lints of the kernel half"];
        let expected = [&first[..], &natively, &["guests"], &on_the_kernel, &["oldest and newest kernel"]].concat();
        assert_eq!(names(None, false), expected);
    }

    #[test]
    fn what_is_waited_for_was_begun() {
        for (filter, fast) in [(None, false), (None, true), (Some("connect"), false)] {
            let mut begun: Vec<&str> = builds(filter, fast).iter().map(|build| build.name).collect();
            for step in steps(filter, fast).expect("steps") {
                match step.work {
                    Work::Begin(build) => begun.push(build.name),
                    Work::WaitFor(name) => assert!(begun.contains(&name), "{name} of {begun:?}"),
                    _ => {}
                }
            }
        }
    }

    #[test]
    fn the_filter_reaches_every_test_run() {
        for step in steps(Some("connect"), false).expect("steps") {
            let runs_tests = matches!(step.work, Work::Tests(_)) || step.name == "documentation tests";
            let repeat = step.repeat(Some("connect"));
            assert_eq!(repeat.contains(" connect"), runs_tests, "{repeat}");
        }
    }

    #[test]
    fn builds_for_later_yield() {
        let command = describe(&yielding(&cargo(["build", "-p", "weir"])));
        assert_eq!(command, "setpriv --pdeathsig TERM nice -n 19 cargo build -p weir");
    }
}
