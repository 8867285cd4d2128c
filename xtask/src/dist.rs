//! The binaries for distribution: one file for each architecture, which needs nothing of the machine but its kernel.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use object::elf;
use object::read::elf::{FileHeader, ProgramHeader};

use crate::arch::{ARCHES, Arch};
use crate::command::{cargo, run};
use crate::run::target_dir;
use crate::setup::{Extra, setup};

const MIB: u64 = 1 << 20;
/// A short download and a small image layer: a choice. 12 MiB were enough until the agent served HTTP (axum and hyper's server: 0.6
/// MiB); the clients of what it is to feed are still to come.
const LARGEST: u64 = 14 * MIB;
/// Debug information would be nine tenths of the file. As an argument, because the build of the kernel half, which keeps its
/// debug information, would inherit a variable.
const STRIP: &str = "profile.release.strip=\"symbols\"";

/// Builds all of them into target/dist and checks architecture, linkage and size.
pub(crate) fn dist() -> Result<()> {
    setup(Extra::Dist)?;
    let built = ARCHES.map(|arch| build(arch).map(|path| (arch, path)));
    println!("{:<28}{:>10}  PATH", "TARGET", "SIZE");
    for built in built {
        let (arch, path) = built?;
        let size = fs::metadata(&path).with_context(|| format!("cannot read {}", path.display()))?.len();
        println!("{:<28}{:>6.1} MiB  {}", arch.target(), size as f64 / MIB as f64, path.display());
    }
    Ok(())
}

/// Builds weir for `arch` and returns the path of the binary, checked.
pub(crate) fn build(arch: Arch) -> Result<PathBuf> {
    run(&mut build_command(arch))?;
    let built = target_dir().join(arch.target()).join("release/weir");
    let dist = target_dir().join("dist");
    fs::create_dir_all(&dist).with_context(|| format!("cannot create {}", dist.display()))?;
    let path = dist.join(format!("weir-{}", arch.name()));
    // A new file, not the old one's contents: that may be running.
    let new = path.with_extension("new");
    fs::copy(&built, &new)
        .and_then(|_| fs::rename(&new, &path))
        .with_context(|| format!("cannot copy {} to {}", built.display(), path.display()))?;
    let bytes = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    check(&bytes, arch).with_context(|| format!("{} is not fit for distribution", path.display()))?;
    Ok(path)
}

pub(crate) fn build_command(arch: Arch) -> Command {
    cargo(["build", "--release", "-p", "weir", "--target", arch.target(), "--config", STRIP])
}

/// Fails unless this is a static program for `arch` of a reasonable size.
fn check(bytes: &[u8], arch: Arch) -> Result<()> {
    let size = bytes.len() as u64;
    ensure!(size <= LARGEST, "it has {size} bytes, more than {LARGEST}");
    let header = elf::FileHeader64::<object::Endianness>::parse(bytes).context("no 64-bit ELF file")?;
    let endian = header.endian().context("its byte order")?;
    let machine = header.e_machine(endian);
    ensure!(machine == arch.machine(), "it is for the machine {machine}, not for {}", arch.name());
    let segments = header.program_headers(endian, bytes).context("its segments")?;
    if segments.iter().any(|segment| segment.p_type(endian) == elf::PT_INTERP) {
        bail!("it is not static: it asks for a dynamic linker");
    }
    Ok(())
}

/// A command that builds the other programs of a guest for `arch`.
pub(crate) fn guest_build<'a>(arch: Arch, args: impl IntoIterator<Item = &'a str>) -> Command {
    let mut command = cargo(args);
    // Without debug information, the standard library's included, a tenth of the size; the kernel unpacks all of it at every
    // boot; not to make it saves a fifth of the build.
    command.args(["--target", arch.target(), "--config", "profile.dev.debug=false"]);
    command.args(["--config", "profile.dev.strip=\"debuginfo\""]);
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A program of one segment.
    fn program(machine: u16, segment: u32) -> Vec<u8> {
        let mut bytes = vec![0; 64 + 56];
        bytes[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
        bytes[16..18].copy_from_slice(&elf::ET_DYN.to_le_bytes());
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[20..24].copy_from_slice(&1u32.to_le_bytes());
        bytes[32..40].copy_from_slice(&64u64.to_le_bytes());
        bytes[52..54].copy_from_slice(&64u16.to_le_bytes());
        bytes[54..56].copy_from_slice(&56u16.to_le_bytes());
        bytes[56..58].copy_from_slice(&1u16.to_le_bytes());
        bytes[64..68].copy_from_slice(&segment.to_le_bytes());
        bytes
    }

    #[test]
    fn a_static_program_passes() {
        check(&program(elf::EM_X86_64, elf::PT_LOAD), Arch::X86_64).expect("static");
        check(&program(elf::EM_AARCH64, elf::PT_DYNAMIC), Arch::Aarch64).expect("static, at any address");
    }

    #[test]
    fn what_asks_for_a_dynamic_linker_does_not() {
        let error = check(&program(elf::EM_X86_64, elf::PT_INTERP), Arch::X86_64).expect_err("dynamic");
        assert_eq!(error.to_string(), "it is not static: it asks for a dynamic linker");
        let own = fs::read("/proc/self/exe").expect("this test");
        assert!(check(&own, Arch::X86_64).is_err(), "this test is dynamic, or for another machine, or large");
    }

    #[test]
    fn another_machines_program_does_not() {
        let error = check(&program(elf::EM_X86_64, elf::PT_LOAD), Arch::Aarch64).expect_err("another machine's");
        assert_eq!(error.to_string(), "it is for the machine 62, not for aarch64");
        assert!(check(b"#!/bin/sh", Arch::X86_64).is_err());
    }

    #[test]
    fn nor_does_a_large_one() {
        let mut large = program(elf::EM_X86_64, elf::PT_LOAD);
        large.resize(LARGEST as usize + 1, 0);
        assert!(check(&large, Arch::X86_64).is_err());
    }
}
