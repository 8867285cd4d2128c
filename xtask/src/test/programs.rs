//! Test programs: which tests of each run when, and how.

use std::collections::BTreeMap;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::alone::Alone;
use super::kept;
use super::table::Row;
use crate::command::{Elevation, cargo, command, describe, output, root};
use crate::concurrent::at_once;
use crate::programs::{Kind, Program};
use crate::run::{binary, target_dir};

/// The package of the kernel tests.
const KERNEL_TESTS: &str = "tests";
/// Test programs of other packages whose ignored tests look inside the agent while its probes run.
const INSIDE_THE_AGENT: [&str; 2] = ["conntrack", "steady_tick"];
/// Read by `weir_tests::Lab`.
const SIDE_BY_SIDE: &str = weir_tests::lab::SIDE_BY_SIDE;
/// Test programs at once, for each processor. A choice: they mostly wait, and at two on each of two
/// processors 742 s of them took 187 s.
const FOR_EACH_PROCESSOR: usize = 2;

/// What a test program may take: the longest takes two and a half minutes.
const LIMIT: Duration = Duration::from_secs(900);

/// Which tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Group {
    /// Everything that needs no root.
    Native,
    /// Kernel tests that look only at what is theirs.
    SideBySide,
    /// Kernel tests that have the kernel to themselves.
    Alone,
}

/// Some tests of one program.
#[derive(Debug)]
struct Job {
    program: Program,
    group: Group,
    /// All for which there is no filter, if there are none.
    tests: Vec<String>,
    arguments: Vec<String>,
    elevation: Elevation,
}

/// Runs a group of the tests of these programs, each output in one piece, and adds how long each took. Fails when all
/// have run, if one failed.
pub(super) fn run(
    programs: &[Program],
    group: Group,
    filter: Option<&str>,
    elevation: Elevation,
    rows: &mut Vec<Row>,
) -> Result<()> {
    let mut jobs = Vec::new();
    for program in programs.iter().filter(|program| program.kind != Kind::Binary) {
        jobs.extend(Job::of(program, group, filter, elevation).with_context(|| program.source.display().to_string())?);
    }
    let times = Times::read();
    jobs.sort_by_key(|job| std::cmp::Reverse(times.last(&job.title())));
    let go_on = AtomicBool::new(false);
    let done = at_once(group.at_once(), &jobs, |job| job.run(&go_on));
    let done = done.into_iter().collect::<Result<Vec<_>>>()?;
    times.write(&done);
    let failed: Vec<String> = done.iter().filter(|row| !row.passed).map(|row| row.name.clone()).collect();
    rows.extend(done);
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

/// The tests of a program, by `--list`.
fn tests(program: &Program, ignored: bool) -> Result<Vec<String>> {
    let mut list = command(&program.path);
    list.args(["--list", "--format", "terse"]).args(ignored.then_some("--ignored"));
    let text = output(&mut list)?;
    Ok(text.lines().filter_map(|line| line.strip_suffix(": test")).map(Into::into).collect())
}

fn is_kernel_test(program: &Program) -> bool {
    program.kind == Kind::IntegrationTest && program.package == Path::new(KERNEL_TESTS)
}

// === impl Group ===

impl Group {
    fn at_once(self) -> usize {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        match self {
            Self::SideBySide => processors * FOR_EACH_PROCESSOR,
            // Unit tests use all processors by themselves, and some measure what they get of them.
            Self::Native | Self::Alone => 1,
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Native => "",
            Self::SideBySide => ", side by side",
            Self::Alone => ", alone",
        }
    }
}

// === impl Job ===

impl Job {
    /// What this program has for the group, if anything.
    fn of(program: &Program, group: Group, filter: Option<&str>, elevation: Elevation) -> Result<Option<Self>> {
        let inside_the_agent = INSIDE_THE_AGENT.contains(&program.name.as_str());
        if group == Group::Native {
            let job = || Self::native(program, filter);
            return Ok((!is_kernel_test(program)).then(job));
        }
        if !is_kernel_test(program) && !inside_the_agent {
            return Ok(None);
        }
        let mut tests = tests(program, inside_the_agent)?;
        let alone = Alone::of(&fs::read_to_string(root().join(&program.source))?)?;
        alone.check(&tests)?;
        tests.retain(|test| alone.contains(test) == (group == Group::Alone));
        tests.retain(|test| filter.is_none_or(|filter| format!("{}::{test}", program.name).contains(filter)));
        if tests.is_empty() {
            return Ok(None);
        }
        let mut arguments = vec!["--test-threads=1".into(), "--exact".into()];
        arguments.extend(inside_the_agent.then(|| "--ignored".into()));
        Ok(Some(Self { program: program.clone(), group, tests, arguments, elevation }))
    }

    fn native(program: &Program, filter: Option<&str>) -> Self {
        let tests = filter.into_iter().map(Into::into).collect();
        let (program, arguments) = (program.clone(), Vec::new());
        Self { program, group: Group::Native, tests, arguments, elevation: Elevation::None }
    }

    fn title(&self) -> String {
        format!("{}{}", self.program.source.display(), self.group.label())
    }

    fn run(&self, stop: &AtomicBool) -> Result<Row> {
        let title = self.title();
        let ended = kept::run(&mut self.command(), &title, Some(LIMIT), stop)?;
        kept::show(&title, &ended, &self.repeat(&ended.output));
        Ok(Row { name: title, time: ended.time, passed: ended.passed })
    }

    /// Only the test program becomes root.
    fn command(&self) -> Command {
        let variables = self.variables();
        let mut command = match self.elevation {
            Elevation::None => command(&self.program.path),
            Elevation::Sudo => {
                let mut sudo = command("sudo");
                sudo.args(as_root(&variables)).arg(&self.program.path);
                sudo
            }
        };
        // As cargo starts it.
        let package = root().join(&self.program.package);
        command.current_dir(&package).env("CARGO_MANIFEST_DIR", &package).envs(variables);
        command.args(&self.arguments).args(&self.tests);
        command
    }

    fn variables(&self) -> Vec<(&'static str, String)> {
        let weir = || ("WEIR_BIN", binary(false).display().to_string());
        match self.group {
            Group::Native => Vec::new(),
            Group::SideBySide => vec![weir(), (SIDE_BY_SIDE, "1".into())],
            Group::Alone => vec![weir()],
        }
    }

    /// What to type to see the failures again: each of them alone.
    fn repeat(&self, output: &str) -> String {
        let failed = |line: &str| Some(line.strip_prefix("test ")?.strip_suffix(" ... FAILED")?.to_owned());
        let failed: Vec<String> = output.lines().filter_map(failed).collect();
        let target = match self.program.kind {
            Kind::IntegrationTest => vec!["--test", &self.program.name],
            Kind::UnitTests | Kind::Binary => vec!["--lib", "--bins"],
        };
        let manifest = self.program.package.join("Cargo.toml").display().to_string();
        let mut cargo = cargo(["test", "--manifest-path", &manifest].into_iter().chain(target));
        let weir: Vec<_> = self.variables().into_iter().filter(|(name, _)| *name != SIDE_BY_SIDE).collect();
        if self.elevation == Elevation::Sudo {
            // Not cargo: it would leave files in target/ that the user cannot replace.
            let runner = [vec!["sudo".into()], as_root(&weir)].concat();
            cargo.args(["--config".into(), format!("target.'cfg(unix)'.runner={runner:?}")]);
        }
        let tests = if failed.is_empty() { &self.tests } else { &failed };
        cargo.envs(weir).arg("--").args(&self.arguments).args(tests);
        describe(&cargo)
    }
}

/// The arguments of sudo before a program. It resets PATH even with -E.
fn as_root(variables: &[(&str, String)]) -> Vec<String> {
    let path = format!("PATH={}", env::var_os("PATH").unwrap_or_default().display());
    let variables = variables.iter().map(|(name, value)| format!("{name}={value}"));
    ["-E".into(), "env".into(), path].into_iter().chain(variables).collect()
}

/// How long each job took when it last ran here: the longest begins first.
struct Times(BTreeMap<String, f64>);

impl Times {
    fn path() -> PathBuf {
        target_dir().join("test-times.json")
    }

    /// None is known where it has not run yet.
    fn read() -> Self {
        let text = fs::read_to_string(Self::path()).unwrap_or_default();
        Self(serde_json::from_str(&text).unwrap_or_default())
    }

    /// What is not known begins first.
    fn last(&self, title: &str) -> Duration {
        self.0.get(title).map_or(Duration::MAX, |seconds| Duration::from_secs_f64(*seconds))
    }

    fn write(mut self, rows: &[Row]) {
        self.0.extend(rows.iter().map(|row| (row.name.clone(), row.time.as_secs_f64())));
        if let Ok(text) = serde_json::to_string_pretty(&self.0) {
            // Without it the next run takes longer, and that is all.
            let _ = fs::write(Self::path(), text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn job(group: Group, elevation: Elevation) -> Job {
        let program = Program {
            name: "joins".into(),
            kind: Kind::IntegrationTest,
            package: "tests".into(),
            source: "tests/tests/joins.rs".into(),
            path: "/t/joins".into(),
        };
        let arguments = vec!["--test-threads=1".into(), "--exact".into()];
        Job { program, group, tests: vec!["a".into(), "b".into()], arguments, elevation }
    }

    #[test]
    fn kernel_tests_find_the_binary() {
        let weir = format!("WEIR_BIN={}", binary(false).display());
        let plain = describe(&job(Group::Alone, Elevation::None).command());
        assert!(plain.ends_with("/t/joins --test-threads=1 --exact a b") && plain.contains(&weir), "{plain}");
        let sudo = describe(&job(Group::Alone, Elevation::Sudo).command());
        assert!(sudo.contains("sudo -E env PATH=") && sudo.contains(&format!("{weir} /t/joins")), "{sudo}");
    }

    #[test]
    fn only_those_side_by_side_share_the_kernel() {
        let shares = |group| describe(&job(group, Elevation::Sudo).command()).contains("WEIR_TESTS_SIDE_BY_SIDE=1 /t/");
        assert_eq!([Group::SideBySide, Group::Alone].map(shares), [true, false]);
    }

    #[test]
    fn what_failed_is_repeated_alone() {
        let output = "test a ... ok\ntest b ... FAILED\n";
        let repeat = job(Group::SideBySide, Elevation::None).repeat(output);
        let expected = "cargo test --manifest-path tests/Cargo.toml --test joins -- --test-threads=1 --exact b";
        assert!(repeat.starts_with("WEIR_BIN=") && repeat.ends_with(expected), "{repeat}");
        let repeat = job(Group::SideBySide, Elevation::Sudo).repeat("it hangs");
        assert!(repeat.contains("WEIR_BIN=") && !repeat.contains(SIDE_BY_SIDE), "{repeat}");
        assert!(repeat.contains("runner=[\"sudo\", \"-E\", \"env\", ") && repeat.ends_with(" a b"), "{repeat}");
    }
}
