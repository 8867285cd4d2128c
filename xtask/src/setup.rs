//! Installs what a machine lacks to build and test weir.

use std::path::Path;

use anyhow::{Result, bail, ensure};

use crate::arch::targets;
use crate::command::{Elevation, cargo, command, describe, find, output, run};

/// A program that cargo builds and installs, at a pinned version.
struct CargoTool {
    /// Of the package and of the program.
    name: &'static str,
    version: &'static str,
    /// More arguments of `cargo install`.
    options: &'static [&'static str],
    /// How long the installation takes on two processors.
    takes: &'static str,
    /// A sentence: what it does and why at this version.
    purpose: &'static str,
}

const BPF_LINKER: CargoTool = CargoTool {
    name: "bpf-linker",
    version: "0.10.3",
    options: &[],
    takes: "about a minute",
    purpose: "It links the kernel half of weir, at a pinned version so that every build gives the verifiers the same byte code.",
};

const CARGO_DENY: CargoTool = CargoTool {
    name: "cargo-deny",
    version: "0.20.2",
    // Unoptimized and without debug information: 80 s of processor time to build, and 2 s for a check of this workspace.
    options: &["--debug", "--config", "profile.dev.debug=false"],
    takes: "about two minutes",
    purpose: "It checks licences and sources of all dependencies, at a pinned version because deny.toml follows its format.",
};

/// What to install besides the build tools.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extra {
    None,
    /// Servers and tools of the kernel tests.
    Tests,
    /// Servers, load generators and other tools of the bench.
    Bench,
    /// Servers of the fault lab, and libraries of its applications.
    Lab,
    /// Targets of the static binaries.
    Dist,
    /// The same, and what runs virtual machines.
    Vm,
    /// Tools that build and run a Kubernetes API server.
    Kubernetes,
}

/// A package of servers or tools.
struct Package {
    /// Debian's name.
    name: &'static str,
    /// What to look for where there is no dpkg.
    programs: &'static [&'static str],
    /// The unit that Debian starts on installation.
    service: Option<&'static str>,
}

const TEST_PACKAGES: &[Package] = &[
    Package { name: "iproute2", programs: &["ip", "ss", "tc"], service: None },
    Package { name: "nftables", programs: &["nft"], service: None },
    Package { name: "nginx", programs: &["nginx"], service: Some("nginx.service") },
    Package { name: "redis-server", programs: &["redis-server"], service: Some("redis-server.service") },
    Package { name: "redis-tools", programs: &["redis-cli"], service: None },
    Package { name: "postgresql", programs: &["postgres", "initdb", "psql"], service: Some("postgresql.service") },
    Package { name: "curl", programs: &["curl"], service: None },
    Package { name: "dnsmasq-base", programs: &["dnsmasq"], service: None },
    Package { name: "openssl", programs: &["openssl"], service: None },
    Package { name: "bpftool", programs: &["bpftool"], service: None },
    Package { name: "python3", programs: &["python3"], service: None },
    Package { name: "util-linux", programs: &["nsenter", "unshare"], service: None },
    Package { name: "procps", programs: &["ps", "sysctl"], service: None },
    Package { name: "socat", programs: &["socat"], service: None },
    Package { name: "podman", programs: &["podman"], service: Some("podman.socket") },
    // Not crun, which refuses hosts that have controllers of version 1 beside a version 2.
    Package { name: "runc", programs: &["runc"], service: None },
    // The server without Debian's unit for it.
    Package { name: "dnsmasq-base", programs: &["dnsmasq"], service: None },
    // A module of Debian's own Python.
    Package { name: "python3-psycopg2", programs: &["python3"], service: None },
];

const BENCH_PACKAGES: &[Package] = &[
    Package { name: "nginx", programs: &["nginx"], service: Some("nginx.service") },
    Package { name: "redis-server", programs: &["redis-server"], service: Some("redis-server.service") },
    Package { name: "redis-tools", programs: &["redis-benchmark"], service: None },
    Package { name: "postgresql", programs: &["postgres", "initdb", "pgbench"], service: Some("postgresql.service") },
    Package { name: "wrk", programs: &["wrk"], service: None },
    Package { name: "libbpf-tools", programs: &["tcplife", "tcpstates"], service: None },
    Package { name: "bpftrace", programs: &["bpftrace"], service: None },
];

const LAB_PACKAGES: &[Package] = &[
    Package { name: "iproute2", programs: &["ip", "ss"], service: None },
    Package { name: "nftables", programs: &["nft"], service: None },
    Package { name: "nginx", programs: &["nginx"], service: Some("nginx.service") },
    Package { name: "redis-server", programs: &["redis-server"], service: Some("redis-server.service") },
    Package { name: "postgresql", programs: &["postgres", "initdb", "psql"], service: Some("postgresql.service") },
    Package { name: "procps", programs: &["sysctl", "kill"], service: None },
    Package { name: "util-linux", programs: &["prlimit"], service: None },
    Package { name: "python3", programs: &["python3"], service: None },
    // Modules of Debian's own Python, whose releases pin them.
    Package { name: "python3-psycopg", programs: &["python3"], service: None },
    Package { name: "python3-psycopg-pool", programs: &["python3"], service: None },
    Package { name: "haproxy", programs: &["haproxy"], service: Some("haproxy.service") },
    Package { name: "pgbouncer", programs: &["pgbouncer"], service: Some("pgbouncer.service") },
    // Pools of other languages: HikariCP with PostgreSQL's driver, and Go's own with one in source.
    Package { name: "default-jdk-headless", programs: &["java", "javac"], service: None },
    Package { name: "libhikaricp-java", programs: &["java"], service: None },
    Package { name: "libpostgresql-jdbc-java", programs: &["java"], service: None },
    Package { name: "golang-go", programs: &["go"], service: None },
    Package { name: "golang-github-lib-pq-dev", programs: &["go"], service: None },
];

/// gcc compiles for one architecture, clang for all.
const DIST_PACKAGES: &[Package] = &[Package { name: "clang", programs: &["clang"], service: None }];

const KUBERNETES_PACKAGES: &[Package] = &[
    Package { name: "golang-1.19-go", programs: &["go"], service: None },
    Package { name: "etcd-server", programs: &["etcd"], service: Some("etcd.service") },
    Package { name: "rsync", programs: &["rsync"], service: None },
    Package { name: "make", programs: &["make"], service: None },
    Package { name: "dpkg-dev", programs: &["dpkg-source"], service: None },
    Package { name: "debian-archive-keyring", programs: &["apt-get"], service: None },
];

/// Only what builds and boots a guest; `cargo xtask vm` fetches its kernel and programs.
const VM_PACKAGES: &[Package] = &[
    Package { name: "qemu-system-x86", programs: &["qemu-system-x86_64"], service: None },
    Package { name: "qemu-system-arm", programs: &["qemu-system-aarch64"], service: None },
    Package { name: "kmod", programs: &["depmod"], service: None },
    Package { name: "xz-utils", programs: &["xz"], service: None },
    Package { name: "zstd", programs: &["zstd"], service: None },
    Package { name: "debian-archive-keyring", programs: &["apt-get", "dpkg-deb"], service: None },
];

/// Installs the build tools and `extra`.
pub(crate) fn setup(extra: Extra) -> Result<()> {
    BPF_LINKER.bring()?;
    rust_src()?;
    match extra {
        Extra::None => Ok(()),
        Extra::Tests => CARGO_DENY.bring().and_then(|()| packages(TEST_PACKAGES, "the kernel tests")),
        Extra::Bench => packages(BENCH_PACKAGES, "the benches"),
        Extra::Lab => packages(LAB_PACKAGES, "the fault lab"),
        Extra::Dist => static_builds(),
        Extra::Kubernetes => packages(KUBERNETES_PACKAGES, "a Kubernetes API server"),
        Extra::Vm => static_builds().and_then(|()| packages(VM_PACKAGES, "virtual machines")),
    }
}

fn static_builds() -> Result<()> {
    targets()?;
    packages(DIST_PACKAGES, "static binaries")
}

fn rust_src() -> Result<()> {
    let sysroot = output(command("rustc").args(["--print", "sysroot"]))?;
    let core = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core");
    if core.is_dir() {
        return Ok(());
    }
    if find("rustup").is_none() {
        bail!(
            "{} is missing: Rust ships no `core` for the BPF target, so it is built from source. \
             Install rustup (https://rustup.rs), then repeat this",
            core.display()
        );
    }
    eprintln!("installing rust-src: Rust ships no `core` for the BPF target, so it is built from source");
    run(command("rustup").args(["component", "add", "rust-src"]))
}

fn packages(wanted: &'static [Package], purpose: &str) -> Result<()> {
    if find("dpkg-query").is_none() || find("apt-get").is_none() {
        return programs(wanted, purpose);
    }
    // It fails if it does not know one of them, and still lists the others.
    let listing = command("dpkg-query")
        .args(["-W", "-f", "${Package} ${Status}\n"])
        .args(wanted.iter().map(|p| p.name))
        .output()?;
    let missing = missing_packages(wanted, &String::from_utf8_lossy(&listing.stdout));
    if missing.is_empty() {
        return Ok(());
    }

    let names = missing.iter().map(|package| package.name).collect::<Vec<_>>();
    let elevation = Elevation::find(&format!("apt-get install {}", names.join(" ")))?;
    eprintln!("installing what {purpose} need: {}", names.join(" "));
    // RUNLEVEL=1 keeps invoke-rc.d from starting the servers. Through env, because sudo would drop the variables.
    let apt = || {
        let mut apt = elevation.command("env");
        apt.args(["DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get"]);
        apt
    };
    run(apt().arg("update"))?;
    run(apt().args(["install", "-y", "--no-install-recommends"]).args(&names))?;

    // systemd ignores the runlevel. Only services installed just now are stopped: others have an owner.
    let services = missing.iter().filter_map(|package| package.service).collect::<Vec<_>>();
    if !services.is_empty() && Path::new("/run/systemd/system").exists() {
        eprintln!("stopping the services that Debian started on installation; {purpose} start their own servers");
        run(elevation.command("systemctl").args(["disable", "--now"]).args(services))?;
    }
    Ok(())
}

/// The packages that are not in dpkg-query's `listing` as installed.
fn missing_packages(wanted: &'static [Package], listing: &str) -> Vec<&'static Package> {
    // The first word of a status is the administrator's wish, such as "install" or "hold".
    let installed = |package: &Package| {
        listing
            .lines()
            .filter_map(|line| line.split_once(' '))
            .any(|(name, status)| name == package.name && status.split_whitespace().skip(1).eq(["ok", "installed"]))
    };
    wanted.iter().filter(|package| !installed(package)).collect()
}

fn programs(wanted: &[Package], purpose: &str) -> Result<()> {
    let programs = wanted.iter().flat_map(|package| package.programs).copied().collect::<Vec<_>>();
    let missing = programs.iter().copied().filter(|program| find(program).is_none()).collect::<Vec<_>>();
    eprintln!("no apt-get here, so nothing is installed; {purpose} need: {}", programs.join(" "));
    ensure!(missing.is_empty(), "not in PATH or /usr/sbin: {}; install them, then repeat this", missing.join(" "));
    Ok(())
}

// === impl CargoTool ===

impl CargoTool {
    /// Installs it where it is missing or of another version.
    fn bring(&self) -> Result<()> {
        let Self { name, version, options, takes, purpose } = self;
        let found = self.installed();
        if found.as_deref() == Some(version) {
            return Ok(());
        }
        let found = found.map_or_else(|| "not found".into(), |found| format!("at version {found}"));
        eprintln!("{name} is {found}; installing {version}, which takes {takes}.\n{purpose}");
        let mut install =
            cargo(["install", name, "--version", version, "--locked"].into_iter().chain(options.iter().copied()));
        run(&mut install)?;
        let now = self.installed();
        ensure!(
            now.as_deref() == Some(version),
            "{name} {version} is installed, but `{name} --version` {}: put cargo's bin directory first on PATH, \
             or, if it is, repeat `{} --force`",
            now.map_or_else(|| "fails".into(), |found| format!("prints {found}")),
            describe(&install),
        );
        Ok(())
    }

    /// Its version; `None` also if it does not run, such as for a missing library.
    fn installed(&self) -> Option<String> {
        parse_version(self.name, &output(command(self.name).arg("--version")).ok()?).map(Into::into)
    }
}

/// The version in `bpf-linker 0.10.3`, whatever follows it.
fn parse_version<'a>(name: &str, printed: &'a str) -> Option<&'a str> {
    printed.strip_prefix(name)?.strip_prefix(' ')?.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_second_word() {
        assert_eq!(parse_version("bpf-linker", "bpf-linker 0.10.3\n"), Some("0.10.3"));
        assert_eq!(parse_version("bpf-linker", "bpf-linker 0.11.0 (LLVM 22)\n"), Some("0.11.0"));
        assert_eq!(parse_version("bpf-linker", "bpf-linker "), None);
        assert_eq!(parse_version("bpf-linker", "bpf-linkers 1.0.0"), None);
        assert_eq!(parse_version("bpf-linker", "ld 0.10.3"), None);
    }

    #[test]
    fn only_an_installed_package_counts() {
        let listing = TEST_PACKAGES.iter().map(|package| match package.name {
            "nginx" => "nginx deinstall ok config-files\n".to_owned(),
            "socat" => "socat install ok unpacked\n".to_owned(),
            "curl" => "curl hold ok installed\n".to_owned(),
            "redis-tools" => String::new(),
            name => format!("{name} install ok installed\n"),
        });
        let missing = missing_packages(TEST_PACKAGES, &listing.collect::<String>());
        assert_eq!(missing.iter().map(|package| package.name).collect::<Vec<_>>(), ["nginx", "redis-tools", "socat"]);
    }

    #[test]
    fn nothing_listed_is_nothing_installed() {
        assert_eq!(missing_packages(BENCH_PACKAGES, "").len(), BENCH_PACKAGES.len());
    }
}
