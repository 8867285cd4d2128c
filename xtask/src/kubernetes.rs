//! The resolver against a real Kubernetes API server, which is built here from Debian's source.
//!
//! Not part of `cargo xtask test`: it takes some 10 minutes of processor time once, and Debian 12, the last release
//! with that source. Failures of the API are tested there against a server of our own.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::command::{cargo, command, run};
use crate::debian::Release;
use crate::run::target_dir;
use crate::setup::{Extra, setup};

/// Where Debian's packages of Go are.
const GO: &str = "/usr/lib/go-1.19";
/// Debian's last release with Kubernetes' source.
const SUITE: &str = "bookworm";

/// Builds the API server if it is not there yet, and runs the test that needs it.
pub(crate) fn kubernetes() -> Result<()> {
    setup(Extra::Kubernetes)?;
    let dir = target_dir().join("kubernetes");
    let server = dir.join("kube-apiserver");
    if !server.exists() {
        build(&dir, &server).context("cannot build an API server")?;
    }
    let mut test = cargo(["test", "-p", "weir-kubernetes", "--test", "kubernetes", "--", "--ignored", "real::"]);
    run(test.env("WEIR_KUBE_APISERVER", &server))
}

fn build(dir: &Path, server: &Path) -> Result<()> {
    let source = Release::open_sources(dir, SUITE)?.source("kubernetes", &dir.join("source"))?;
    eprintln!("building an API server from {}, which takes some 10 minutes of processor time", source.display());
    let go = Path::new(GO).join("bin");
    let path = std::env::join_paths(
        [go].into_iter().chain(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())),
    )?;
    let mut make = command("make");
    make.current_dir(&source).arg("WHAT=cmd/kube-apiserver").env("PATH", path);
    // All dependencies are in its vendor directory.
    make.env("GOFLAGS", "-mod=vendor").env("GOPROXY", "off").env("GO111MODULE", "auto").env("CGO_ENABLED", "0");
    make.env("GOPATH", source.join(".go")).env("HOME", dir);
    run(&mut make)?;
    let built = source.join("_output/bin/kube-apiserver");
    fs::rename(&built, server).with_context(|| format!("cannot move {}", built.display()))?;
    // 2 GiB of sources and objects.
    fs::remove_dir_all(dir.join("source")).context("cannot remove the sources")
}
