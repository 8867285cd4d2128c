//! The kernels that weir must run on, and what of them goes into a guest.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

use crate::arch::Arch;
use crate::command::{command, run};

use crate::debian::{self, Release};

/// One series of kernels, as a release of Debian has it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Series {
    pub(crate) name: &'static str,
    suite: &'static str,
    /// Whether the release has security updates in an archive of their own: its newest kernels are there.
    security: bool,
}

/// The oldest that weir supports, the newest there is, and those between that most machines have. A new one is a line.
pub(crate) const SERIES: &[Series] = &[
    Series { name: "5.10", suite: "bullseye", security: true },
    Series { name: "6.1", suite: "bookworm", security: true },
    Series { name: "6.12", suite: "trixie", security: true },
    Series { name: "7.2", suite: "sid", security: false },
];

/// What the tests need and a kernel may have as a module. Debian's kernels for clouds have all of it and are a third of
/// the size of those for all machines.
const MODULES: &[&str] = &[
    "virtio_pci",
    "virtio_console",
    "veth",
    "nf_tables",
    "nft_numgen",
    "nft_reject_inet",
    "nft_ct",
    "nft_nat",
    "nft_masq",
    "nft_chain_nat",
    "nft_synproxy",
    "nf_conntrack_netlink",
    "sch_netem",
    "tun",
];

/// A kernel in the cache.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    pub(crate) series: &'static str,
    pub(crate) arch: Arch,
    /// As `uname -r` will say.
    pub(crate) release: String,
    root: PathBuf,
}

impl Series {
    /// The kernel from the cache, fetched if it is not there or `fresh` ones are asked for.
    pub(crate) fn kernel(&self, cache: &Path, arch: Arch, fresh: bool) -> Result<Kernel> {
        let root = cache.join("kernels").join(format!("{}-{}", self.name, arch.name()));
        if fresh || !root.exists() {
            self.fetch(cache, arch, &root)
                .with_context(|| format!("no kernel {} of Debian {} for {}", self.name, self.suite, arch.debian()))?;
        }
        let modules = root.join("lib/modules");
        let release = only_entry(&modules)?;
        ensure!(
            release.starts_with(&format!("{}.", self.name)),
            "Debian {} has {release} now, not {}; take it into SERIES in xtask/src/vm/kernel.rs",
            self.suite,
            self.name
        );
        Ok(Kernel { series: self.name, arch, release, root })
    }

    fn fetch(&self, cache: &Path, arch: Arch, root: &Path) -> Result<()> {
        eprintln!("fetching kernel {} for {} from Debian {}", self.name, arch.debian(), self.suite);
        let meta = format!("linux-image-cloud-{}", arch.debian());
        let newest = Release::open(cache, self.suite, self.security, arch)?.kernel(&meta);
        let files = match newest {
            // A mirror may have the index of its security updates before their files.
            Err(error) if self.security => {
                eprintln!("without security updates of {}: {error:#}", self.suite);
                Release::open(cache, self.suite, false, arch)?.kernel(&meta)?
            }
            newest => newest?,
        };
        // Whole or not at all: the directory is the sign that it is complete.
        let new = root.with_file_name(format!("{}-{}.new", self.name, arch.name()));
        let _ = fs::remove_dir_all(&new);
        debian::unpack(&files, &new)?;
        if !new.join("lib").exists() {
            std::os::unix::fs::symlink("usr/lib", new.join("lib")).context("cannot link lib")?;
        }
        let version = only_entry(&new.join("lib/modules"))?;
        run(command("/usr/sbin/depmod").arg("-b").arg(&new).arg(version))?;
        let _ = fs::remove_dir_all(root);
        fs::rename(&new, root).with_context(|| format!("cannot rename {}", new.display()))
    }
}

impl Kernel {
    /// The file to boot.
    pub(crate) fn image(&self) -> Result<PathBuf> {
        let places = [format!("boot/vmlinuz-{}", self.release), format!("usr/lib/modules/{}/vmlinuz", self.release)];
        let found = places.iter().map(|place| self.root.join(place)).find(|path| path.exists());
        found.with_context(|| format!("no kernel image in {}", self.root.display()))
    }

    /// The modules that the tests need, as names and contents, each after those it needs itself.
    pub(crate) fn modules(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let dir = self.root.join("lib/modules").join(&self.release);
        let read = |name: &str| {
            let path = dir.join(name);
            fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
        };
        let order = order(MODULES, &read("modules.dep")?, &read("modules.builtin")?)
            .with_context(|| format!("kernel {} for {}", self.release, self.arch.name()))?;
        order.iter().map(|path| Ok((plain_name(path), decompressed(&dir.join(path))?))).collect()
    }
}

fn only_entry(dir: &Path) -> Result<String> {
    let context = || format!("cannot list {}", dir.display());
    let entries = fs::read_dir(dir).and_then(Iterator::collect::<Result<Vec<_>, _>>).with_context(context)?;
    match entries.as_slice() {
        [one] => Ok(one.file_name().to_string_lossy().into_owned()),
        entries => bail!("{} kernels in {}, not one", entries.len(), dir.display()),
    }
}

/// Files of the `wanted` modules and of all they need, in an order in which they can be loaded.
fn order(wanted: &[&str], modules_dep: &str, modules_builtin: &str) -> Result<Vec<String>> {
    let lines = || modules_dep.lines().filter_map(|line| line.split_once(':'));
    let builtin: Vec<String> = modules_builtin.lines().map(module_name).collect();
    let mut order: Vec<String> = Vec::new();
    for name in wanted {
        let Some((path, needs)) = lines().find(|(path, _)| module_name(path) == *name) else {
            ensure!(builtin.iter().any(|builtin| builtin == name), "no module {name}, and not built in either");
            continue;
        };
        // depmod lists all that a module needs, the last to load first.
        for path in needs.split_whitespace().rev().chain([path]) {
            if !order.iter().any(|there| there == path) {
                order.push(path.into());
            }
        }
    }
    Ok(order)
}

/// The file's name without what says how it is compressed.
fn plain_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or(path);
    file.strip_suffix(".xz").or_else(|| file.strip_suffix(".zst")).unwrap_or(file).into()
}

/// The kernel takes - and _ for the same.
fn module_name(path: &str) -> String {
    let file = plain_name(path);
    file.strip_suffix(".ko").unwrap_or(&file).replace('-', "_")
}

fn decompressed(path: &Path) -> Result<Vec<u8>> {
    let program = match path.extension().and_then(|extension| extension.to_str()) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => return fs::read(path).with_context(|| format!("cannot read {}", path.display())),
    };
    let output = command(program).arg("-dc").arg(path).output().with_context(|| format!("cannot run {program}"))?;
    ensure!(output.status.success(), "{program} cannot read {}", path.display());
    Ok(output.stdout)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEP: &str = "kernel/net/a.ko.xz: kernel/lib/c.ko.xz kernel/lib/d.ko.xz\n\
                       kernel/lib/c.ko.xz: kernel/lib/d.ko.xz\n\
                       kernel/lib/d.ko.xz:\n\
                       kernel/net/b-b.ko.xz: kernel/lib/d.ko.xz\n";

    #[test]
    fn a_module_comes_after_those_it_needs() {
        let order = order(&["a", "b_b", "e"], DEP, "kernel/net/e.ko\n").expect("all are there");
        let expected = ["kernel/lib/d.ko.xz", "kernel/lib/c.ko.xz", "kernel/net/a.ko.xz", "kernel/net/b-b.ko.xz"];
        assert_eq!(order, expected);
    }

    #[test]
    fn a_module_that_is_nowhere_is_named() {
        let error = order(&["a", "z"], DEP, "").expect_err("there is no z");
        assert_eq!(error.to_string(), "no module z, and not built in either");
    }

    #[test]
    fn names_are_without_compression() {
        assert_eq!(plain_name("kernel/net/nft-x.ko.zst"), "nft-x.ko");
        assert_eq!(module_name("kernel/net/nft-x.ko.zst"), "nft_x");
        assert_eq!(module_name("kernel/net/nft_x.ko"), "nft_x");
    }
}
