//! The binary under test.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use crate::{
    Document,
    process::{self, Lines, Process},
};

/// Loading, attaching and the first scan.
const READY_WITHIN: Duration = Duration::from_secs(10);
/// From SIGINT to the document.
const DONE_WITHIN: Duration = Duration::from_secs(10);
/// A run that is not ended by its test.
const LONGEST: &str = "300s";

/// The `weir` under test: `WEIR_BIN`, else the release build.
///
/// # Panics
/// If it has not been built.
pub fn binary() -> PathBuf {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/weir");
    let path = std::env::var_os("WEIR_BIN").map_or(built, PathBuf::from);
    assert!(path.exists(), "{} is not there: run `cargo build --release` first", path.display());
    path
}

/// Runs `weir` with these arguments to its end.
pub fn run(arguments: &[&str]) -> Output {
    process::output(Command::new(binary()).args(arguments), Duration::from_secs(60))
}

/// Probes and entries that weir is to do without: `WEIR_REFUSE="tp_btf sock_recv_length;sk_data_ready"` runs any test on
/// the entries of older kernels, where this kernel has those too.
fn refused() -> Vec<String> {
    let names = std::env::var("WEIR_REFUSE").unwrap_or_default();
    names.split(';').filter(|name| !name.is_empty()).map(|name| format!("--refuse-probe={name}")).collect()
}

/// An observation that runs.
pub struct Weir {
    process: Process,
    stdout: JoinHandle<Vec<u8>>,
    stderr: Lines,
    ready_after: Duration,
}

impl Weir {
    /// Starts `weir edges --instances -o json` with these arguments too, and returns once all probes are attached and the
    /// sockets that were there before are known. By instance, as most tests know their processes.
    ///
    /// # Panics
    /// If that takes longer than ten seconds.
    pub fn start(arguments: &[&str]) -> Self {
        Self::start_as(&[&["edges", "--instances", "-o", "json", "--for", LONGEST], arguments].concat())
    }

    /// The same with edges between services, as users see them.
    ///
    /// # Panics
    /// If that takes longer than ten seconds.
    pub fn start_by_service(arguments: &[&str]) -> Self {
        Self::start_as(&[&["edges", "-o", "json", "--for", LONGEST], arguments].concat())
    }

    /// The same for any command that observes.
    ///
    /// # Panics
    /// If it is not ready within ten seconds.
    pub fn start_as(arguments: &[&str]) -> Self {
        let began = Instant::now();
        let mut command = Command::new(binary());
        let (name, options) = arguments.split_first().expect("a command");
        command
            .arg(name)
            .args(refused())
            .args(options)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut process = Process::start(&mut command);
        let stdout = process::drain(process.pipes().stdout.take().expect("a pipe"));
        let mut stderr = Lines::of(process.pipes().stderr.take().expect("a pipe"));
        if let Err(error) = stderr.wait_for("weir: observing", READY_WITHIN) {
            panic!("weir {}: {error}", arguments.join(" "));
        }
        Self { process, stdout, stderr, ready_after: began.elapsed() }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: i32) {
        self.process.signal(signal);
    }

    /// Waits until weir says something that begins so, on stderr, and returns the line.
    ///
    /// # Panics
    /// If it does not in time.
    pub fn says(&mut self, start: &str, deadline: Duration) -> String {
        self.stderr.wait_for(start, deadline).unwrap_or_else(|error| panic!("weir: {error}"))
    }

    /// How long it took to be ready.
    pub fn ready_after(&self) -> Duration {
        self.ready_after
    }

    /// Ends the observation as Ctrl-C does.
    ///
    /// # Panics
    /// If weir fails, or prints anything but one document.
    pub fn finish(self) -> Document {
        Document::parse(&self.finish_raw())
    }

    /// The same, with the document as it was printed.
    ///
    /// # Panics
    /// If weir fails.
    pub fn finish_raw(mut self) -> String {
        self.process.signal(libc::SIGINT);
        let status = self.process.wait(DONE_WITHIN);
        let stdout = self.stdout.join().expect("the reader of stdout");
        let stderr = self.stderr.all();
        assert!(status.success(), "weir: {status}\n{stderr}");
        assert!(!stderr.contains("panicked"), "weir panicked:\n{stderr}");
        String::from_utf8(stdout).expect("a document in UTF-8")
    }

    /// Ends weir as nothing should.
    pub fn kill9(mut self) {
        self.process.signal(libc::SIGKILL);
        self.process.wait(DONE_WITHIN);
    }
}
