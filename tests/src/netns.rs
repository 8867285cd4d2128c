//! Network namespaces of a test's own.

use std::{
    fs::{self, File},
    os::{
        fd::AsRawFd as _,
        unix::{fs::MetadataExt as _, process::CommandExt as _},
    },
    path::{Path, PathBuf},
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use rustix::mount::{UnmountFlags, unmount};

use crate::{process, tally::wait_until};

const PREFIX: &str = "weir-t-";
const MOUNTED_AT: &str = "/run/netns";

static SERIAL: AtomicU32 = AtomicU32::new(0);

/// A network namespace with its loopback up; deleted on drop. Declare it after the lab, before what runs in it.
pub struct Netns {
    name: String,
}

impl Netns {
    /// An empty one.
    pub fn new() -> Self {
        let netns = Self::named();
        process::run("ip", &["netns", "add", &netns.name]);
        netns.ip("link set lo up");
        netns
    }

    /// A name for one.
    fn named() -> Self {
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        Self { name: format!("{PREFIX}{}-{serial}", std::process::id()) }
    }

    /// Two, joined by a cable: the first has 10.77.0.1 and fd77::1, the second 10.77.0.2 and fd77::2.
    pub fn pair() -> (Self, Self) {
        let (one, two) = (Self::named(), Self::named());
        let [mac_one, mac_two] = ["02:00:00:00:00:01", "02:00:00:00:00:02"];
        let peer = format!("peer name eth0 address {mac_two} netns {}", two.name);
        batch(&[
            format!("netns add {}", one.name),
            format!("netns add {}", two.name),
            format!("link add eth0 address {mac_one} netns {} type veth {peer}", one.name),
        ]);
        for (netns, here, there, mac_there) in [(&one, 1, 2, mac_two), (&two, 2, 1, mac_one)] {
            netns.batch(&[
                "link set lo up".into(),
                format!("address add 10.77.0.{here}/24 dev eth0"),
                format!("address add fd77::{here}/64 dev eth0 nodad"),
                "link set eth0 up".into(),
                // Neighbours need no discovery: a SYN that waits for it in a queue is not sent again.
                format!("neighbour add 10.77.0.{there} lladdr {mac_there} dev eth0 nud permanent"),
                format!("neighbour add fd77::{there} lladdr {mac_there} dev eth0 nud permanent"),
            ]);
        }
        one.wait_for_link("eth0");
        two.wait_for_link("eth0");
        (one, two)
    }

    /// Until then packets are dropped.
    fn wait_for_link(&self, device: &str) {
        wait_until(Duration::from_secs(5), "a cable", || {
            process::run("ip", &["-n", &self.name, "link", "show", device]).contains("state UP")
        });
    }

    /// Three in a row: a client's (10.77.1.1), a router's, a server's (10.77.2.1).
    pub fn row() -> [Self; 3] {
        let (router, [near, far]) = Self::around(77);
        [near, router, far]
    }

    /// A router's, and around it any number: 10.78.1.1, 10.78.2.1 and so on.
    pub fn star<const N: usize>() -> (Self, [Self; N]) {
        Self::around(78)
    }

    fn around<const N: usize>(network: u8) -> (Self, [Self; N]) {
        let (router, ends) = (Self::named(), std::array::from_fn(|_| Self::named()));
        let mut made = vec![format!("netns add {}", router.name)];
        made.extend(ends.iter().map(|end: &Self| format!("netns add {}", end.name)));
        let mut routed = vec!["link set lo up".to_owned()];
        for (end, n) in ends.iter().zip(1..) {
            let peer = format!("peer name eth{n} netns {}", router.name);
            made.push(format!("link add eth0 netns {} type veth {peer}", end.name));
            routed.push(format!("address add 10.{network}.{n}.254/24 dev eth{n}"));
            routed.push(format!("link set eth{n} up"));
        }
        batch(&made);
        router.batch(&routed);
        for (end, n) in ends.iter().zip(1..) {
            end.batch(&[
                "link set lo up".into(),
                format!("address add 10.{network}.{n}.1/24 dev eth0"),
                "link set eth0 up".into(),
                format!("route add default via 10.{network}.{n}.254"),
            ]);
            end.wait_for_link("eth0");
            router.wait_for_link(&format!("eth{n}"));
        }
        router.set("net.ipv4.ip_forward", "1");
        (router, ends)
    }

    /// `ip` in it.
    pub fn ip(&self, arguments: &str) {
        let arguments: Vec<&str> = arguments.split(' ').collect();
        process::run("ip", &[&["-n", &self.name], arguments.as_slice()].concat());
    }

    /// Several of them, in one process: to start one takes an emulator longer than what it does.
    fn batch(&self, commands: &[String]) {
        process::feed(Command::new("ip").args(["-n", &self.name, "-batch", "-"]), commands);
    }

    /// Runs a tool in it and returns what it printed.
    pub fn run(&self, program: &str, arguments: &[&str]) -> String {
        let mut command = Command::new(program);
        self.enter(command.args(arguments));
        process::succeed(&mut command)
    }

    /// Where it can be entered.
    pub fn path(&self) -> PathBuf {
        PathBuf::from(MOUNTED_AT).join(&self.name)
    }

    /// Its inode number, which names it.
    ///
    /// # Panics
    /// If it is gone.
    pub fn inode(&self) -> u32 {
        let path = self.path();
        let metadata = std::fs::metadata(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        metadata.ino().try_into().expect("a namespace's number in 32 bits")
    }

    /// Does something in it, in a thread: sockets that are made there stay there.
    ///
    /// # Panics
    /// If it cannot be entered, or `work` panics.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let netns = self.open();
        let enter_and_work = || {
            // SAFETY: a live descriptor; only this thread, which ends below, moves.
            let entered = unsafe { libc::setns(netns.as_raw_fd(), libc::CLONE_NEWNET) };
            assert_eq!(entered, 0, "enter {}: {}", self.name, std::io::Error::last_os_error());
            work()
        };
        std::thread::scope(|scope| scope.spawn(enter_and_work).join().expect("a thread in a namespace"))
    }

    fn open(&self) -> File {
        let path = self.path();
        File::open(&path).unwrap_or_else(|error| panic!("open {}: {error}", path.display()))
    }

    /// Sets a parameter such as `net.ipv4.tcp_syn_retries`.
    pub fn set(&self, name: &str, value: &str) {
        // /proc/sys/net follows the process.
        self.run("sysctl", &["-q", "-w", &format!("{name}={value}")]);
    }

    /// Makes a connect give up after 3 s: one SYN more, at one second, where kernels differ in what they do before.
    pub fn give_up_connecting_early(&self) {
        self.set("net.ipv4.tcp_syn_retries", "1");
        if Path::new("/proc/sys/net/ipv4/tcp_syn_linear_timeouts").exists() {
            self.set("net.ipv4.tcp_syn_linear_timeouts", "0");
        }
    }

    /// Filters what comes in (`input`) or goes out (`output`) by these nft rules, instead of earlier ones.
    pub fn filter(&self, hook: &str, rules: &[&str]) {
        let table = format!("weir_{hook}");
        let rules = rules.join("\n");
        // Adding makes the deletion below succeed the first time, too.
        let script = format!(
            "table inet {table} {{}}\ndelete table inet {table}\ntable inet {table} {{\n chain c {{\n \
             type filter hook {hook} priority 0;\n{rules}\n }}\n}}\n"
        );
        self.nft(&script);
    }

    /// Loads nft rules.
    pub fn nft(&self, script: &str) {
        self.run("nft", &[script]);
    }

    /// A counter of its TCP as the kernel keeps it (`/proc/net/snmp`), such as `RetransSegs`.
    ///
    /// # Panics
    /// If there is no such counter.
    pub fn tcp(&self, counter: &str) -> u64 {
        tcp_counter(&self.run("cat", &["/proc/self/net/snmp"]), counter)
    }

    /// Its TCP sockets in states other than LISTEN and TIME_WAIT.
    pub fn busy_sockets(&self) -> usize {
        let tables = self.run("cat", &["/proc/self/net/tcp", "/proc/self/net/tcp6"]);
        let states = tables.lines().filter_map(|line| line.split_whitespace().nth(3));
        states.filter(|state| !matches!(*state, "st" | "0A" | "06")).count()
    }

    /// Has a command run in it.
    ///
    /// # Panics
    /// If it is gone.
    pub fn enter(&self, command: &mut Command) {
        let netns = self.open();
        // SAFETY: setns is async-signal-safe; the descriptor lives in the closure.
        unsafe {
            command.pre_exec(move || match libc::setns(netns.as_raw_fd(), libc::CLONE_NEWNET) {
                0 => Ok(()),
                _ => Err(std::io::Error::last_os_error()),
            });
        }
    }
}

impl Default for Netns {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Netns {
    fn drop(&mut self) {
        delete(&self.name);
    }
}

/// `ip`, several commands in one process.
fn batch(commands: &[String]) {
    process::feed(Command::new("ip").args(["-batch", "-"]), commands);
}

/// As `ip netns del` does.
fn delete(name: &str) {
    let path = Path::new(MOUNTED_AT).join(name);
    // Nothing to be done about a failure here; the next test that is alone sweeps.
    let _ = unmount(&path, UnmountFlags::DETACH);
    let _ = fs::remove_file(&path);
}

/// A counter of the TCP of this process's namespace.
///
/// # Panics
/// If there is no such counter.
pub fn own_tcp(counter: &str) -> u64 {
    tcp_counter(&std::fs::read_to_string("/proc/self/net/snmp").expect("read /proc/self/net/snmp"), counter)
}

/// Sockets of this process's namespace that hold connections of a local port.
///
/// # Panics
/// If the kernel does not list them.
pub fn own_connections(port: u16) -> usize {
    let tables = ["/proc/self/net/tcp", "/proc/self/net/tcp6"].map(|path| std::fs::read_to_string(path).expect(path));
    let local = format!(":{port:04X}");
    let holds = |line: &&str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        fields.get(1).is_some_and(|address| address.ends_with(&local)) && !matches!(fields[3], "0A" | "06")
    };
    tables.iter().flat_map(|table| table.lines()).filter(holds).count()
}

fn tcp_counter(snmp: &str, counter: &str) -> u64 {
    let mut lines = snmp.lines().filter(|line| line.starts_with("Tcp:"));
    let (names, values) = (lines.next().expect("names"), lines.next().expect("values"));
    let found = names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == counter);
    found.unwrap_or_else(|| panic!("no TCP counter {counter:?}")).1.parse().expect("a count")
}

/// Deletes what tests that were killed have left. Only with the lab to oneself: all of these names are of tests.
pub(crate) fn sweep() {
    let Ok(entries) = std::fs::read_dir(MOUNTED_AT) else { return };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    for name in names.filter(|name| name.starts_with(PREFIX)) {
        delete(&name);
    }
}
