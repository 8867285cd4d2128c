//! Debian's packages of other releases and architectures than this machine's, by apt: mirrors, signatures, dependencies. Its state
//! is in a cache of our own; the machine's stays unchanged.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::arch::Arch;
use crate::command::{command, output, run};

/// Debian's keys: mirrors are not trusted.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";
/// Names a mirror of Debian where apt is configured with another distribution's.
const MIRROR: &str = "WEIR_DEBIAN_MIRROR";

/// One release of Debian for one architecture.
pub(crate) struct Release {
    dir: PathBuf,
    arch: Arch,
}

/// Where Debian's packages come from.
#[derive(Debug, PartialEq, Eq)]
struct Mirrors {
    main: String,
    security: Option<String>,
}

impl Release {
    /// Its packages for this architecture. `security` adds its security updates, where they exist.
    pub(crate) fn open(cache: &Path, suite: &str, security: bool, arch: Arch) -> Result<Self> {
        let mirrors = Mirrors::of_this_machine()?;
        let mut sources = source("deb", &mirrors.main, suite);
        if let (true, Some(uri)) = (security, mirrors.security) {
            sources += &source("deb", &uri, &format!("{suite}-security"));
        }
        Self::read(cache.join("apt").join(format!("{suite}-{}", arch.name())), suite, arch, &sources)
    }

    /// Its source packages.
    pub(crate) fn open_sources(cache: &Path, suite: &str) -> Result<Self> {
        let sources = source("deb-src", &Mirrors::of_this_machine()?.main, suite);
        Self::read(cache.join("apt").join(format!("{suite}-source")), suite, Arch::X86_64, &sources)
    }

    /// Reads the index of these sources, signatures checked.
    fn read(dir: PathBuf, suite: &str, arch: Arch, sources: &str) -> Result<Self> {
        ensure!(Path::new(KEYRING).exists(), "{KEYRING} is missing: install debian-archive-keyring");
        for sub in ["lists/partial", "archives/partial"] {
            let sub = dir.join(sub);
            fs::create_dir_all(&sub).with_context(|| format!("cannot create {}", sub.display()))?;
        }
        fs::write(dir.join("sources.list"), sources).context("cannot write apt's sources")?;
        // No package counts as installed, so that all dependencies are downloaded.
        fs::write(dir.join("status"), "").context("cannot write apt's status")?;
        let release = Self { dir, arch };
        run(release.apt("apt-get").args(["-q=2", "--error-on=any", "update"]))
            .with_context(|| format!("no index of Debian {suite} for {}; set {MIRROR} to a mirror", arch.debian()))?;
        Ok(release)
    }

    /// Unpacks a source package, signatures checked, into an empty directory; where its files are.
    pub(crate) fn source(&self, name: &str, into: &Path) -> Result<PathBuf> {
        let _ = fs::remove_dir_all(into);
        fs::create_dir_all(into).with_context(|| format!("cannot create {}", into.display()))?;
        run(self.apt("apt-get").args(["-q=2", "source", name]).current_dir(into))?;
        let entries = fs::read_dir(into).with_context(|| format!("cannot list {}", into.display()))?;
        let directory = entries.flatten().map(|entry| entry.path()).find(|path| path.is_dir());
        directory.with_context(|| format!("the source package {name} has no directory"))
    }

    /// Downloads the packages that make up the kernel that `meta` stands for; their files.
    pub(crate) fn kernel(&self, meta: &str) -> Result<Vec<PathBuf>> {
        let mut names = Vec::new();
        let mut pending = vec![meta.to_owned()];
        while let Some(name) = pending.pop() {
            let shown = output(self.apt("apt-cache").args(["show", "--no-all-versions", &name]))?;
            for part in kernel_parts(&shown).into_iter().filter(|part| !names.contains(part)).collect::<Vec<_>>() {
                names.push(part.clone());
                pending.push(part);
            }
        }
        ensure!(!names.is_empty(), "{meta} names no kernel");
        let into = self.dir.join("download");
        let _ = fs::remove_dir_all(&into);
        fs::create_dir_all(&into).with_context(|| format!("cannot create {}", into.display()))?;
        run(self.apt("apt-get").args(["-q=2", "download"]).args(&names).current_dir(&into))?;
        debs(&into)
    }

    /// Downloads these packages and all that they depend on; their files.
    pub(crate) fn with_dependencies(&self, names: &[&str]) -> Result<Vec<PathBuf>> {
        let archives = self.dir.join("archives");
        let install = ["-q=2", "--yes", "--download-only", "--no-install-recommends", "install"];
        run(self.apt("apt-get").args(install).args(names))?;
        debs(&archives)
    }

    fn apt(&self, program: &str) -> Command {
        let mut apt = command(program);
        let at = |path: &str| self.dir.join(path).display().to_string();
        let arch = self.arch.debian();
        let options = [
            format!("Dir::Etc::sourcelist={}", at("sources.list")),
            "Dir::Etc::sourceparts=/dev/null".into(),
            "Dir::Etc::preferencesparts=/dev/null".into(),
            format!("Dir::State::lists={}", at("lists")),
            format!("Dir::State::status={}", at("status")),
            format!("Dir::Cache={}", at("")),
            format!("Dir::Cache::archives={}", at("archives")),
            format!("APT::Architecture={arch}"),
            format!("APT::Architectures={arch}"),
            // apt's own user may not have access to the cache.
            "APT::Sandbox::User=root".into(),
            // Releases past their end of life get no new signatures.
            "Acquire::Check-Valid-Until=false".into(),
            "Acquire::Languages=none".into(),
            "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".into(),
        ];
        for option in options {
            apt.args(["-o", &option]);
        }
        apt
    }
}

/// A line of apt's sources.
fn source(kind: &str, uri: &str, suite: &str) -> String {
    format!("{kind} [signed-by={KEYRING}] {uri} {suite} main\n")
}

/// Unpacks packages into `root`.
pub(crate) fn unpack(packages: &[PathBuf], root: &Path) -> Result<()> {
    fs::create_dir_all(root).with_context(|| format!("cannot create {}", root.display()))?;
    packages.iter().try_for_each(|package| run(command("dpkg-deb").arg("-x").arg(package).arg(root)))
}

fn debs(dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot list {}", dir.display()))?;
    let mut files: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "deb"));
    files.sort();
    Ok(files)
}

/// The packages of a kernel that a package, as `apt-cache show` prints it, depends on: those of one version's name.
fn kernel_parts(shown: &str) -> Vec<String> {
    let depends = shown.lines().find_map(|line| line.strip_prefix("Depends: ")).unwrap_or_default();
    let names = depends.split(',').filter_map(|one| one.split_whitespace().next());
    let of_a_version = |name: &&str| {
        ["linux-image-", "linux-binary-", "linux-modules-", "linux-base-"]
            .iter()
            .filter_map(|start| name.strip_prefix(start))
            .any(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
    };
    names.filter(of_a_version).map(Into::into).collect()
}

// === impl Mirrors ===

impl Mirrors {
    fn of_this_machine() -> Result<Self> {
        if let Ok(main) = env::var(MIRROR) {
            return Ok(Self { main, security: None });
        }
        let format = "$(REPO_URI) $(RELEASE)";
        let targets = output(command("apt-get").args(["indextargets", "--format", format, "Identifier: Packages"]))?;
        Self::of_targets(&targets)
            .with_context(|| format!("apt has no sources here; set {MIRROR} to a mirror of Debian"))
    }

    /// From lines of a mirror and a release.
    fn of_targets(targets: &str) -> Option<Self> {
        let lines = || targets.lines().filter_map(|line| line.split_once(' '));
        let main = lines().find(|(_, release)| !release.contains('-'))?.0.to_owned();
        let security = lines().find(|(_, release)| release.ends_with("-security")).map(|(uri, _)| uri.to_owned());
        Some(Self { main, security })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernels_parts_are_those_of_a_version() {
        let old = "Package: linux-image-cloud-amd64\nDepends: linux-image-6.1.0-56-cloud-amd64 (= 6.1.192-2)\n";
        assert_eq!(kernel_parts(old), ["linux-image-6.1.0-56-cloud-amd64"]);
        let new = "Depends: dracut | initramfs-tools (>= 0.120), linux-base-7.2.13 (= 7.2.13-1), \
                   linux-binary-7.2.13-amd64 (= 7.2.13-1), linux-modules-7.2.13-amd64 (= 7.2.13-1)\n";
        let expected = ["linux-base-7.2.13", "linux-binary-7.2.13-amd64", "linux-modules-7.2.13-amd64"];
        assert_eq!(kernel_parts(new), expected);
        let plain = "Depends: kmod, linux-base (>= 4.3~), initramfs-tools | linux-initramfs-tool\n";
        assert_eq!(kernel_parts(plain), [""; 0]);
        assert_eq!(kernel_parts("Package: x\n"), [""; 0]);
    }

    #[test]
    fn mirrors_are_those_that_apt_has() {
        let targets = "http://m/debian/ bookworm\nhttp://m/debian/ bookworm-updates\nhttp://s/ bookworm-security\n";
        let mirrors = Mirrors { main: "http://m/debian/".into(), security: Some("http://s/".into()) };
        assert_eq!(Mirrors::of_targets(targets), Some(mirrors));
        let alone = Mirrors { main: "http://m/debian/".into(), security: None };
        assert_eq!(Mirrors::of_targets("http://m/debian/ sid\n"), Some(alone));
        assert_eq!(Mirrors::of_targets(""), None);
    }
}
