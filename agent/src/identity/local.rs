//! Who a process of this host is.

mod cgroup;
mod container;
mod declared;
mod files;
mod process;
mod recent;
mod script;
mod text;

/// A directory of a test's own.
#[cfg(test)]
fn scratch(of: &str) -> std::path::PathBuf {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let name = format!("weir-{of}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let path = std::env::temp_dir().join(name);
    std::fs::create_dir_all(&path).expect("a directory for the test");
    path
}
