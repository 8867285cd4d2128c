//! Builds the kernel half and leaves its object where `include_bytes_aligned!` finds it.

use aya_build::{Package, Toolchain};

fn main() -> anyhow::Result<()> {
    // The BPF target needs `-Z build-std=core`; the bootstrap switch allows it on the stable toolchain.
    // aya-build passes the inner cargo's words on as warnings: let it speak only when something is wrong.
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
    )
}
