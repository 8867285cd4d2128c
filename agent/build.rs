//! Builds the kernel half and leaves its object where `include_bytes_aligned!` finds it.

use aya_build::{Package, Toolchain};

fn main() -> anyhow::Result<()> {
    // The BPF target needs `-Z build-std=core`; the bootstrap switch allows it on the stable toolchain.
    // SAFETY: a build script's main thread is its only thread.
    unsafe { std::env::set_var("RUSTC_BOOTSTRAP", "1") };
    let toolchain = std::env::var("RUSTUP_TOOLCHAIN").unwrap_or_else(|_| "stable".into());
    aya_build::build_ebpf(
        [Package { name: "weir-ebpf", root_dir: concat!(env!("CARGO_MANIFEST_DIR"), "/../ebpf"), ..Default::default() }],
        Toolchain::Custom(&toolchain),
    )
}
