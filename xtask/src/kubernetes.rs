//! The resolver against a real Kubernetes API server, which is built here from Debian's source.
//!
//! Not part of `cargo xtask test`: it takes some 10 minutes of processor time once, and Debian 12, the last release
//! with that source. What the API does not do by itself is tested there against a server of our own.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::command::{cargo, command, run};
use crate::run::target_dir;
use crate::setup::{Extra, setup};

/// Where Debian's packages of Go are.
const GO: &str = "/usr/lib/go-1.19";
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
const SOURCES: &str =
    "deb-src [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] http://deb.debian.org/debian bookworm main\n";

/// Builds the API server if it is not there yet, and runs the test that needs it.
pub(crate) fn kubernetes() -> Result<()> {
    setup(Extra::Kubernetes)?;
    let dir = target_dir().join("kubernetes");
    let server = dir.join("kube-apiserver");
    if !server.exists() {
        build(&dir, &server).context("cannot build an API server")?;
    }
    let mut test = cargo(["test", "-p", "weir", "--test", "kubernetes", "--", "--ignored", "real::"]);
    run(test.env("WEIR_KUBE_APISERVER", &server))
}

fn build(dir: &Path, server: &Path) -> Result<()> {
    let source = source(dir)?;
    eprintln!("building an API server from {}, which takes some 10 minutes of processor time", source.display());
    let go = Path::new(GO).join("bin");
    let path = std::env::join_paths(
        [go].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    )?;
    let mut make = command("make");
    make.current_dir(&source).arg("WHAT=cmd/kube-apiserver").env("PATH", path);
    // All that it needs lies in its vendor directory.
    make.env("GOFLAGS", "-mod=vendor").env("GOPROXY", "off").env("GO111MODULE", "auto").env("CGO_ENABLED", "0");
    make.env("GOPATH", source.join(".go")).env("HOME", dir);
    run(&mut make)?;
    let built = source.join("_output/bin/kube-apiserver");
    fs::rename(&built, server).with_context(|| format!("cannot move {}", built.display()))?;
    // 2 GiB of sources and objects.
    fs::remove_dir_all(dir.join("source")).context("cannot remove the sources")
}

/// Fetches Debian's source package, signatures checked, with apt's state in `dir`; where it is unpacked.
fn source(dir: &Path) -> Result<PathBuf> {
    ensure!(Path::new(KEYRING).exists(), "{KEYRING} is missing: install debian-archive-keyring");
    let unpacked = dir.join("source");
    let _ = fs::remove_dir_all(&unpacked);
    for sub in [&unpacked, &dir.join("apt/lists/partial"), &dir.join("apt/archives/partial")] {
        fs::create_dir_all(sub).with_context(|| format!("cannot create {}", sub.display()))?;
    }
    let sources = dir.join("apt/sources.list");
    fs::write(&sources, SOURCES).context("cannot write apt's sources")?;
    let apt = || {
        let mut apt = command("apt-get");
        apt.current_dir(&unpacked).args(["-q=2", "--error-on=any"]);
        for option in [
            format!("Dir::Etc::sourcelist={}", sources.display()),
            "Dir::Etc::sourceparts=/dev/null".into(),
            format!("Dir::State::lists={}", dir.join("apt/lists").display()),
            format!("Dir::Cache={}", dir.join("apt").display()),
            "APT::Sandbox::User=root".into(),
        ] {
            apt.args(["-o", &option]);
        }
        apt
    };
    run(apt().arg("update"))?;
    run(apt().args(["source", "kubernetes"]))?;
    let mut entries = fs::read_dir(&unpacked).context("cannot list the sources")?.flatten().map(|entry| entry.path());
    entries.find(|path| path.is_dir()).context("the source package has no directory")
}
