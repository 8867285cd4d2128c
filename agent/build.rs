//! Builds the kernel half, and puts its object where `include_bytes_aligned!` finds it.

use std::{path::Path, process::Command};

use anyhow::{Context as _, ensure};
use aya_build::{Package, Toolchain};

fn main() -> anyhow::Result<()> {
    check_tools()?;
    // The BPF target needs `-Z build-std=core`; the bootstrap switch allows it on the stable toolchain.
    // aya-build passes the inner cargo's output on as warnings: quiet, it prints only errors.
    for (name, value) in [("RUSTC_BOOTSTRAP", "1"), ("CARGO_TERM_QUIET", "true")] {
        // SAFETY: a build script's main thread is its only thread.
        unsafe { std::env::set_var(name, value) };
    }
    let toolchain = std::env::var("RUSTUP_TOOLCHAIN").unwrap_or_else(|_| "stable".into());
    aya_build::build_ebpf(
        [Package {
            name: "weir-ebpf",
            root_dir: concat!(env!("CARGO_MANIFEST_DIR"), "/../ebpf"),
            ..Default::default()
        }],
        Toolchain::Custom(&toolchain),
    )?;
    strip_debug(&Path::new(&std::env::var("OUT_DIR")?).join("weir-probes"))
}

/// Removes debug information: four fifths of the object, which is embedded in the binary. The kernel needs BTF, which was made
/// from it and stays.
fn strip_debug(path: &Path) -> anyhow::Result<()> {
    let data = std::fs::read(path).with_context(|| path.display().to_string())?;
    let mut object = object::build::elf::Builder::read(data.as_slice()).context("read the kernel half's object")?;
    for section in &mut object.sections {
        let name: &[u8] = &section.name;
        section.delete |= name.starts_with(b".debug_") || name.starts_with(b".rel.debug_");
    }
    object.delete_orphans();
    // LLVM keeps the names of sections in the table of symbol names; here they get a table of their own.
    let names = object.sections.add();
    names.name = b".shstrtab".as_slice().into();
    names.sh_type = object::elf::SHT_STRTAB;
    names.data = object::build::elf::SectionData::SectionString;
    let mut stripped = Vec::new();
    object.write(&mut stripped).context("write the kernel half's object")?;
    std::fs::write(path, stripped).with_context(|| path.display().to_string())
}

/// Missing tools are reported here, with the fix, before the compiler or the linker fails without them.
fn check_tools() -> anyhow::Result<()> {
    let linker = Command::new("bpf-linker").arg("--version").output();
    ensure!(
        linker.is_ok(),
        "bpf-linker is not installed: run `cargo xtask setup`, which brings it at its pinned version"
    );
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let sysroot = Command::new(rustc).args(["--print", "sysroot"]).output().context("rustc --print sysroot")?;
    let sysroot = String::from_utf8(sysroot.stdout).context("rustc's sysroot")?;
    let core = Path::new(sysroot.trim()).join("lib/rustlib/src/rust/library/core");
    ensure!(
        core.exists(),
        "the component rust-src is not installed: run `cargo xtask setup`, or `rustup component add rust-src`"
    );
    Ok(())
}
