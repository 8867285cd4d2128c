//! Builds the floor programs and leaves their object where `include_bytes_aligned!` finds it. Missing tools are
//! reported by agent/build.rs, which runs first.

use aya_build::{Package, Toolchain};

fn main() -> anyhow::Result<()> {
    // As in agent/build.rs: build-std on the stable toolchain, and a quiet inner cargo.
    for (name, value) in [("RUSTC_BOOTSTRAP", "1"), ("CARGO_TERM_QUIET", "true")] {
        // SAFETY: a build script's main thread is its only thread.
        unsafe { std::env::set_var(name, value) };
    }
    let toolchain = std::env::var("RUSTUP_TOOLCHAIN").unwrap_or_else(|_| "stable".into());
    aya_build::build_ebpf(
        [Package {
            name: "weir-bench-ebpf",
            root_dir: concat!(env!("CARGO_MANIFEST_DIR"), "/ebpf"),
            ..Default::default()
        }],
        Toolchain::Custom(&toolchain),
    )
}
