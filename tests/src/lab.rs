//! A test's place: a turn on the machine, alone or beside other tests, with a directory that goes away.

use std::{
    fs::{self, File},
    net::TcpListener,
    path::{Path, PathBuf},
    sync::{
        OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

use rustix::fs::{FlockOperation, flock};

use crate::{Netns, Traffic, Weir, netns};

const PREFIX: &str = "weir-t-";
const LOCK: &str = "/run/weir-tests.lock";
/// Set by a runner that starts several test programs at once, with no test among them that says `Alone:`.
pub const SIDE_BY_SIDE: &str = "WEIR_TESTS_SIDE_BY_SIDE";
/// Ports of one process, for [`free_port`].
const PORTS: u32 = 100;

static SERIAL: AtomicU32 = AtomicU32::new(0);

/// The lab. Tests take turns, across processes: some measure time, count the kernel's programs or fill limits. Such a test
/// says so in a line `/// Alone: <reason>` above it, or `//! Alone: <reason>` at the top of its file. All others look
/// only at their own processes, ports and namespaces, so `cargo xtask test` runs them side by side.
pub struct Lab {
    helper: PathBuf,
    directory: PathBuf,
    _turn: File,
}

/// Enters the lab with the helper binary of this package, `weir-traffic`, or a copy of it under another name: its processes
/// are a service of that name. Tests of signals have one each, as a service's incidents depend on all of its processes.
#[macro_export]
macro_rules! lab {
    () => {
        $crate::Lab::enter(env!("CARGO_BIN_EXE_weir-traffic"))
    };
    ($name:literal) => {
        lab!().with_helper_as($name)
    };
}

impl Lab {
    /// Waits for this test's turn. Use `lab!()`.
    ///
    /// # Panics
    /// Without root.
    pub fn enter(helper: impl Into<PathBuf>) -> Self {
        assert!(rustix::process::geteuid().is_root(), "these tests need root: run `cargo xtask test`");
        let turn = File::create(LOCK).unwrap_or_else(|error| panic!("create {LOCK}: {error}"));
        if std::env::var_os(SIDE_BY_SIDE).is_some() {
            flock(&turn, FlockOperation::LockShared).expect("lock the lab");
        } else {
            flock(&turn, FlockOperation::LockExclusive).expect("lock the lab");
            netns::sweep();
            sweep();
        }
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        let directory = std::env::temp_dir().join(format!("{PREFIX}{}-{serial}", std::process::id()));
        fs::create_dir(&directory).unwrap_or_else(|error| panic!("create {}: {error}", directory.display()));
        Self { helper: helper.into(), directory, _turn: turn }
    }

    /// The same lab where the helper has this name.
    ///
    /// # Panics
    /// If it cannot be copied.
    pub fn with_helper_as(mut self, name: &str) -> Self {
        self.helper = self.helper_as(name);
        self
    }

    /// A path in the test's directory.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The helper binary.
    pub fn helper(&self) -> &Path {
        &self.helper
    }

    /// The helper binary under another name, which its processes have then.
    ///
    /// # Panics
    /// If it cannot be copied.
    pub fn helper_as(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::copy(&self.helper, &path).unwrap_or_else(|error| panic!("copy to {}: {error}", path.display()));
        path
    }

    /// A server or client under another name, in a network namespace.
    pub fn traffic_as(&self, name: &str, netns: &Netns, arguments: &[&str]) -> Traffic {
        Traffic::start(&self.helper_as(name), Some(netns), arguments)
    }

    /// Starts observing and returns once weir does.
    pub fn weir(&self, arguments: &[&str]) -> Weir {
        Weir::start(arguments)
    }

    /// A server of this kind (see `weir-traffic`) on `address`; port 0 takes a free one.
    pub fn serve(&self, kind: &str, address: &str) -> Traffic {
        let kind: Vec<&str> = kind.split(' ').collect();
        Traffic::start(&self.helper, None, &[&["serve", kind[0], address], &kind[1..]].concat())
    }

    /// The same in a network namespace.
    pub fn serve_in(&self, netns: &Netns, kind: &str, address: &str) -> Traffic {
        let kind: Vec<&str> = kind.split(' ').collect();
        Traffic::start(&self.helper, Some(netns), &[&["serve", kind[0], address], &kind[1..]].concat())
    }

    /// A client of `address`.
    pub fn client(&self, address: &str) -> Traffic {
        Traffic::start(&self.helper, None, &["client", address])
    }

    /// The same in a network namespace.
    pub fn client_in(&self, netns: &Netns, address: &str) -> Traffic {
        Traffic::start(&self.helper, Some(netns), &["client", address])
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}

/// Deletes what tests that were killed have left. Only with the lab to oneself: all of these names are of tests.
fn sweep() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten().filter(|entry| entry.file_name().to_string_lossy().starts_with(PREFIX)) {
        let _ = fs::remove_dir_all(entry.path());
    }
}

/// A port that nothing listens on, below the range from which clients get theirs, and that no other test process takes.
///
/// # Panics
/// If there is none.
pub fn free_port() -> u16 {
    static OWN: OnceLock<(u32, File)> = OnceLock::new();
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let (first, _) = OWN.get_or_init(own_ports);
    (0..PORTS)
        .map(|_| (first + NEXT.fetch_add(1, Ordering::Relaxed) % PORTS) as u16)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok() && TcpListener::bind(("::1", *port)).is_ok())
        .expect("a free port among a hundred")
}

/// The first of a hundred ports that are this process's own until it ends, with the lock that makes them so.
fn own_ports() -> (u32, File) {
    let own = (0..PORTS).map(|n| (std::process::id() + n) % PORTS).find_map(|hundred| {
        let path = format!("/run/weir-tests.ports.{hundred}");
        let lock = File::create(&path).unwrap_or_else(|error| panic!("create {path}: {error}"));
        let is_own = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
        is_own.then_some((20_000 + hundred * PORTS, lock))
    });
    own.expect("a hundred ports among a hundred times as many")
}
