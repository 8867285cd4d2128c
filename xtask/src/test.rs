//! Everything that must hold before a change goes in, cheapest first.

use std::env;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::command::{Elevation, cargo, describe, run};
use crate::run::{binary, build_command};
use crate::setup::{Extra, setup};
use crate::tidy::tidy;
use crate::vm::{self, vm};

struct Step {
    name: &'static str,
    work: Work,
}

enum Work {
    Tidy,
    Command(Command),
    Vm(vm::Options),
}

/// Runs all steps, or with a filter those that run tests, up to the first that fails.
pub(crate) fn test(filter: Option<&str>, fast: bool) -> Result<()> {
    // Asked before the minutes of building, not after them.
    let elevation = Elevation::find("run the kernel tests")?;
    setup(Extra::Tests)?;
    if filter.is_none() && !fast {
        setup(Extra::Vm)?;
    }

    let mut steps = steps(filter, fast, elevation);
    let count = steps.len();
    let mut times = Vec::new();
    let mut result = Ok(());
    for (index, step) in steps.iter_mut().enumerate() {
        let number = index + 1;
        let repeat = step.repeat();
        eprintln!("[{number}/{count}] {}: {repeat}", step.name);
        let start = Instant::now();
        result = step.run().with_context(|| format!("step {number}, {}, failed; repeat it with: {repeat}", step.name));
        times.push((step.name, start.elapsed(), result.is_ok()));
        if result.is_err() {
            break;
        }
    }
    eprint!("{}", summary(&times));
    result
}

fn steps(filter: Option<&str>, fast: bool, elevation: Elevation) -> Vec<Step> {
    let command = |name, command| Step { name, work: Work::Command(command) };
    let mut steps = Vec::new();
    if filter.is_none() {
        steps.push(Step { name: "tidy", work: Work::Tidy });
        if !fast {
            steps.push(command("dependencies", cargo(["deny", "--locked", "check", "bans", "licenses", "sources"])));
            steps.push(command("format", cargo(["fmt", "--all", "--check"])));
            let clippy = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
            steps.push(command("lints", cargo(clippy)));
            steps.push(command("lints of the kernel half", kernel_half_lints()));
        }
    }
    steps.push(command("unit tests", cargo(["test"].into_iter().chain(filter))));
    // Not a default member: its binary builds only for the BPF target.
    let kernel_half = ["test", "-p", "weir-ebpf", "--lib"];
    steps.push(command("kernel half, natively", cargo(kernel_half.into_iter().chain(filter))));
    // Nor are the bench and the lab, whose own tests need no root; the lab's judge golden recordings.
    let sides = ["test", "-p", "weir-bench", "-p", "weir-lab"];
    steps.push(command("bench and lab, natively", cargo(sides.into_iter().chain(filter))));
    steps.push(command("release build", build_command(false)));
    steps.push(command("agent on this kernel", agent_on_kernel(filter, elevation)));
    steps.push(command("bench build", cargo(["build", "--release", "-p", "weir-bench"])));
    steps.push(command("kernel tests", kernel_tests(filter, elevation)));
    if filter.is_none() && !fast {
        // The ends of what is supported; what lies between is for `cargo xtask vm`. Needs the probes' entries of tier T1:
        // without them 5.10 fails, as it should.
        steps.push(Step { name: "oldest and newest kernel", work: Work::Vm(vm::Options::of_the_ends()) });
    }
    steps
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

/// One test at a time: they all watch the sockets of the same kernel.
fn kernel_tests(filter: Option<&str>, elevation: Elevation) -> Command {
    let weir = binary(false);
    let mut command = cargo(["test", "--no-fail-fast", "-p", "weir-tests"]);
    elevate(&mut command, elevation, &[format!("WEIR_BIN={}", weir.display())]);
    command.args(filter).args(["--", "--test-threads=1"]).env("WEIR_BIN", weir);
    command
}

/// What looks inside the agent while its probes run: `cargo test` ignores it.
fn agent_on_kernel(filter: Option<&str>, elevation: Elevation) -> Command {
    let mut command = cargo(["test", "-p", "weir", "-p", "weir-names", "--test", "conntrack", "--test", "steady_tick"]);
    elevate(&mut command, elevation, &[]);
    command.args(filter).args(["--", "--ignored"]);
    command
}

/// Only the test programs become root, not cargo: it would leave files in target/ that the user cannot replace.
fn elevate(cargo: &mut Command, elevation: Elevation, variables: &[String]) {
    if elevation == Elevation::None {
        return;
    }
    // sudo resets PATH even with -E.
    let path = format!("PATH={}", env::var_os("PATH").unwrap_or_default().display());
    let runner = [&["sudo".into(), "-E".into(), "env".into(), path], variables].concat();
    cargo.args(["--config".into(), format!("target.'cfg(unix)'.runner={runner:?}")]);
}

fn summary(times: &[(&str, Duration, bool)]) -> String {
    let line = |(name, time, passed): &(&str, Duration, bool)| {
        format!("{:<24}{:>8.1} s{}\n", name, time.as_secs_f64(), if *passed { "" } else { "  FAILED" })
    };
    times.iter().map(line).collect()
}

// === impl Step ===

impl Step {
    fn run(&mut self) -> Result<()> {
        match &mut self.work {
            Work::Tidy => tidy(),
            Work::Vm(options) => vm(options),
            Work::Command(command) => run(command),
        }
    }

    fn repeat(&self) -> String {
        match &self.work {
            Work::Tidy => "cargo xtask tidy".into(),
            Work::Vm(options) => options.command(),
            Work::Command(command) => describe(command),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(filter: Option<&str>, fast: bool) -> Vec<&'static str> {
        steps(filter, fast, Elevation::None).iter().map(|step| step.name).collect()
    }

    #[test]
    fn a_filter_leaves_only_what_runs_tests() {
        let tests = [
            "unit tests",
            "kernel half, natively",
            "bench and lab, natively",
            "release build",
            "agent on this kernel",
            "bench build",
            "kernel tests",
        ];
        assert_eq!(names(Some("connect"), false), tests);
        assert_eq!(names(None, true), [&["tidy"][..], &tests].concat());
        let first = ["tidy", "dependencies", "format", "lints", "lints of the kernel half"];
        assert_eq!(names(None, false), [&first[..], &tests, &["oldest and newest kernel"]].concat());
    }

    #[test]
    fn the_filter_reaches_every_test_run() {
        for step in steps(Some("connect"), false, Elevation::None) {
            let repeat = step.repeat();
            assert_eq!(repeat.contains(" connect"), repeat.contains("cargo test"), "{repeat}");
        }
    }

    #[test]
    fn kernel_tests_find_the_binary() {
        let weir = binary(false);
        let plain = describe(&kernel_tests(Some("connect"), Elevation::None));
        assert!(plain.ends_with("cargo test --no-fail-fast -p weir-tests connect -- --test-threads=1"), "{plain}");
        assert!(plain.starts_with(&format!("WEIR_BIN={}", weir.display())), "{plain}");
        let sudo = describe(&kernel_tests(None, Elevation::Sudo));
        assert!(sudo.contains(&format!(r#""WEIR_BIN={}"]"#, weir.display())), "{sudo}");
    }

    #[test]
    fn the_summary_marks_the_step_that_failed() {
        let times = [("tidy", Duration::from_millis(120), true), ("lints", Duration::from_secs(71), false)];
        let expected = "tidy                         0.1 s\nlints                       71.0 s  FAILED\n";
        assert_eq!(summary(&times), expected);
    }
}
