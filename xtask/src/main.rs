//! The project's own commands, run as `cargo xtask <command>`.

mod arch;
mod bench;
mod budget;
mod command;
mod concurrent;
mod debian;
mod dist;
mod kubernetes;
mod lab;
mod programs;
mod run;
mod setup;
mod test;
mod tidy;
mod vm;

use std::ffi::OsString;
use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use setup::Extra;

/// Build, run and test weir.
///
/// Start with `cargo xtask run`: it installs the build tools, builds weir and shows the edges of this machine.
/// Before you propose a change, `cargo xtask test` must pass.
#[derive(Parser)]
#[command(name = "xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what this machine lacks to build weir, or print what to run
    ///
    /// Checks for bpf-linker at the pinned version and for the rust-src component, and installs what is missing for
    /// the current user. What is installed already is left unchanged, so it costs nothing to repeat; the other commands do
    /// it first.
    Setup {
        /// Also the servers and tools of the tests
        ///
        /// cargo-deny at its pinned version is installed for the current user. On Debian, missing packages are installed with apt-get, through sudo unless you are root; their services
        /// are not left running. Elsewhere, missing programs are listed and nothing is installed.
        #[arg(long)]
        tests: bool,
        /// Also the servers, load generators and other tools of the bench
        ///
        /// In the same way. A tool that cannot be installed is a column without numbers, not a failure.
        #[arg(long)]
        bench: bool,
        /// Also the servers and libraries of the fault lab
        #[arg(long)]
        lab: bool,
        /// Also the targets of the static binaries
        #[arg(long)]
        dist: bool,
        /// Also the emulators and tools of the virtual machines
        #[arg(long)]
        vm: bool,
    },
    /// Build weir and print the path of the binary
    ///
    /// A release build; the kernel half is compiled into the binary. Needs no root.
    Build {
        /// Build faster and unoptimized, with debug assertions; the kernel half is optimized all the same
        #[arg(long)]
        debug: bool,
    },
    /// Build weir and show the edges of this machine (root, or sudo)
    ///
    /// Runs `weir edges` from a release build. What follows `--` is passed to it:
    ///
    ///     cargo xtask run -- --every 5s -o jsonl
    #[command(verbatim_doc_comment)]
    Run {
        /// Arguments for `weir edges`; `-- --help` lists them
        #[arg(last = true)]
        args: Vec<OsString>,
    },
    /// Check everything: tidiness, format, lints, unit tests, tests on this kernel (root, or sudo)
    ///
    /// Stops at the first step that fails and prints the command that repeats it. The kernel tests load the probes
    /// into the running kernel and start real servers; everything else runs as you. Last come the oldest and the newest
    /// kernel that weir supports, in virtual machines.
    Test {
        /// Only tests whose name contains this, on this kernel; skips tidy, format and lints
        filter: Option<String>,
        /// Skip format, lints and other kernels than this one
        #[arg(long)]
        fast: bool,
    },
    /// Show the size of each program in the kernel, beside its budget in ebpf/budget.json (root, or sudo)
    ///
    /// Verified instructions, byte code, machine code and stack, as `weir doctor` reads them from the running kernel.
    /// The budget has an entry for each kernel series and architecture; on another kernel, byte code is compared
    /// with the nearest entry's.
    Budget {
        /// Fail if a program is more than 5% over its budget
        #[arg(long)]
        check: bool,
        /// Write the measured sizes as the budget for this kernel
        #[arg(long, conflicts_with = "check")]
        write: bool,
    },
    /// Measure the cost of weir, compared with nothing, floors and other tools (root, or sudo)
    ///
    /// Builds weir and the bench in release and runs the bench; `cargo xtask bench --help` is the bench's own help.
    /// `cargo xtask setup --bench` installs the servers and tools.
    #[command(disable_help_flag = true)]
    Bench {
        /// Arguments for the bench
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Break real software in known ways, and score the incidents of `weir signals` (root, or sudo)
    ///
    /// Installs the servers, builds weir and the lab, and runs the lab; `cargo xtask lab --help` is the lab's own help.
    /// Exits with 0 if all targets are met, 1 if one is missed, 2 if something could not run.
    #[command(disable_help_flag = true)]
    Lab {
        /// Arguments for the lab
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        args: Vec<OsString>,
    },
    /// Build the static binaries for x86_64 and aarch64 into target/dist
    ///
    /// Each is one file with the kernel half inside, which needs nothing of the machine but its kernel: checked, with
    /// its size.
    Dist,
    /// Run the kernel tests on every supported kernel, in virtual machines
    ///
    /// Kernels are Debian's, fetched once and kept in ~/.cache/weir/vm ($WEIR_VM_CACHE); after that no network is
    /// needed, and never root. Prints, for each kernel, every probe with its entry, its state and what the verifier
    /// made of it, and the tests. A test may be absent only where the kernel is older than the hook it tests.
    Vm(vm::Options),
    /// Test names from Kubernetes against a real API server (Debian 12)
    ///
    /// Builds the API server from Debian's source once, some 10 minutes of processor time, and keeps it in target/.
    /// It listens on the loopback only, and is gone after the test.
    Kubernetes,
    /// Check what the compiler cannot: file lengths, leftovers, probes without a test, dead links, wording
    ///
    /// Each finding names the file and the fix.
    Tidy {
        /// Only list every word of the wording list, allowed or not
        #[arg(long)]
        words: bool,
    },
}

fn main() -> ExitCode {
    // Not `fn main() -> Result`: with RUST_BACKTRACE set it would bury the message under a backtrace.
    let task = Cli::parse().task;
    let is_lab = matches!(task, Task::Lab { .. });
    match run_task(task) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error}");
            for cause in error.chain().skip(1) {
                eprintln!("  because: {cause}");
            }
            // The lab's 1 says that it ran and missed a target.
            if is_lab { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn run_task(task: Task) -> Result<ExitCode> {
    let done = match task {
        Task::Lab { args } => return Ok(ExitCode::from(lab::lab(&args)?)),
        Task::Setup { tests, bench, lab, dist, vm } => {
            let wanted =
                [(tests, Extra::Tests), (bench, Extra::Bench), (lab, Extra::Lab), (dist, Extra::Dist), (vm, Extra::Vm)];
            bring(wanted.into_iter().filter(|(is_wanted, _)| *is_wanted).map(|(_, extra)| extra))
        }
        Task::Build { debug } => run::build(debug),
        Task::Run { args } => run::run(&args),
        Task::Test { filter, fast } => test::test(filter.as_deref(), fast),
        Task::Budget { write: true, .. } => budget::budget(budget::Then::Write),
        Task::Budget { check: true, .. } => budget::budget(budget::Then::Check),
        Task::Budget { .. } => budget::budget(budget::Then::Show),
        Task::Bench { args } => bench::bench(&args),
        Task::Dist => dist::dist(),
        Task::Vm(options) => vm::vm(&options),
        Task::Kubernetes => kubernetes::kubernetes(),
        Task::Tidy { words: true } => tidy::list_words(),
        Task::Tidy { words: false } => tidy::tidy(),
    };
    done.map(|()| ExitCode::SUCCESS)
}

/// The build tools, and these.
fn bring(extras: impl Iterator<Item = Extra>) -> Result<()> {
    setup::setup(Extra::None)?;
    for extra in extras {
        setup::setup(extra)?;
    }
    eprintln!("ready");
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Cli;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
