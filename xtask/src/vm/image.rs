//! What a guest boots with: everything lies in memory, so that no disk and no network is needed. The kernel unpacks
//! archives that follow each other in one file, so what never changes is packed once.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use cpio::newc::{Builder, trailer};
use weir_vm_init::{PLAN, Plan};

use crate::arch::Arch;

use super::kernel::Kernel;
use crate::debian::{self, Release};

/// The guests' programs are the same for all kernels. A release's own would be older than the tests want on the oldest.
const USERLAND: &str = "bookworm";
/// What the tests call.
const PACKAGES: &[&str] = &[
    "bpftool",
    "coreutils",
    "curl",
    "dash",
    "dnsmasq-base",
    "iproute2",
    "nftables",
    "nginx",
    "openssl",
    "procps",
    "python3",
    "redis-server",
    "redis-tools",
];
/// Nothing of it is needed in order to run them.
const LEFT_OUT: &[&str] = &[
    "usr/include",
    "usr/lib/systemd",
    "usr/share/bash-completion",
    "usr/share/bug",
    "usr/share/doc",
    "usr/share/i18n",
    "usr/share/info",
    "usr/share/lintian",
    "usr/share/locale",
    "usr/share/man",
    "usr/share/perl",
    "usr/lib/python3.11/test",
    "var",
];
/// What packages would make when they are installed, not unpacked.
const FILES: &[(&str, &str)] = &[
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"),
    ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ("etc/hosts", "127.0.0.1 localhost\n::1 localhost\n"),
    ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files\n"),
    ("etc/resolv.conf", ""),
];
/// Where programs are, for the guest's first process and all that it starts.
pub(crate) const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";

/// A file of the host for the guest, at the same path or another.
pub(crate) struct Program {
    pub(crate) from: PathBuf,
    pub(crate) to: String,
}

/// The archive of the guests' programs, from the cache; fetched if it is not there or `fresh` ones are asked for.
pub(crate) fn userland(cache: &Path, arch: Arch, fresh: bool) -> Result<PathBuf> {
    let archive = cache.join(format!("userland-{}.cpio", arch.name()));
    let stamp = archive.with_extension("packages");
    let content = format!("{USERLAND}: {} less {}\n", PACKAGES.join(" "), LEFT_OUT.join(" "));
    if !fresh && archive.exists() && fs::read_to_string(&stamp).is_ok_and(|there| there == content) {
        return Ok(archive);
    }
    eprintln!("fetching the guests' programs for {} from Debian {USERLAND}", arch.debian());
    let release = Release::open(cache, USERLAND, true, arch)?;
    let files = release.with_dependencies(PACKAGES)?;
    let root = cache.join(format!("userland-{}", arch.name()));
    let _ = fs::remove_dir_all(&root);
    debian::unpack(&files, &root)?;
    let mut image = Image::create(&archive)?;
    image.tree(&root, Path::new(""))?;
    for (path, text) in FILES {
        image.file(path, 0o644, text.as_bytes())?;
    }
    image.finish()?;
    let _ = fs::remove_dir_all(&root);
    fs::write(&stamp, content).context("cannot write what the archive holds")?;
    Ok(archive)
}

/// Writes the whole of a guest's memory disk to `path`: programs, modules, what is tested, and the plan.
pub(crate) fn write(path: &Path, userland: &Path, kernel: &Kernel, programs: &[Program], plan: &Plan) -> Result<()> {
    let mut plan = plan.clone();
    let own = path.with_extension("own");
    let mut image = Image::create(&own)?;
    for (name, content) in kernel.modules()? {
        let place = format!("weir-vm/modules/{name}");
        image.file(&place, 0o644, &content)?;
        plan.modules.push(format!("/{place}"));
    }
    for program in programs {
        let content = fs::read(&program.from).with_context(|| format!("cannot read {}", program.from.display()))?;
        image.file(program.to.trim_start_matches('/'), 0o755, &content)?;
    }
    let plan = serde_json::to_vec(&plan).context("encode the plan")?;
    image.file(PLAN.trim_start_matches('/'), 0o644, &plan)?;
    image.finish()?;

    let context = || format!("cannot write {}", path.display());
    let mut whole = File::create(path).with_context(context)?;
    for part in [userland, &own] {
        let mut part = File::open(part).with_context(|| format!("cannot read {}", part.display()))?;
        io::copy(&mut part, &mut whole).with_context(context)?;
    }
    let _ = fs::remove_file(own);
    Ok(())
}

/// An archive that is being written.
struct Image {
    out: BufWriter<File>,
    directories: BTreeSet<PathBuf>,
    inode: u32,
}

impl Image {
    fn create(path: &Path) -> Result<Self> {
        let dir = path.parent().context("a path with a directory")?;
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
        let out = File::create(path).with_context(|| format!("cannot create {}", path.display()))?;
        Ok(Self { out: BufWriter::new(out), directories: BTreeSet::new(), inode: 0 })
    }

    fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.parents(Path::new(path))?;
        self.entry(path, 0o100_000 | mode, content)
    }

    /// Everything in `root` below `dir` but what is left out.
    fn tree(&mut self, root: &Path, dir: &Path) -> Result<()> {
        let full = root.join(dir);
        let context = || format!("cannot list {}", full.display());
        let mut entries = fs::read_dir(&full).and_then(Iterator::collect::<Result<Vec<_>, _>>).with_context(context)?;
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = dir.join(entry.file_name());
            let name = path.to_str().context("a file name that is no UTF-8")?;
            if LEFT_OUT.contains(&name) {
                continue;
            }
            let meta = entry.metadata().with_context(context)?;
            if meta.is_dir() {
                self.directory(&path)?;
                self.tree(root, &path)?;
            } else {
                let content = if meta.is_symlink() {
                    fs::read_link(entry.path()).map(|target| target.into_os_string().into_encoded_bytes())
                } else {
                    fs::read(entry.path())
                };
                let content = content.with_context(|| format!("cannot read {}", entry.path().display()))?;
                self.parents(&path)?;
                self.entry(name, meta.mode(), &content)?;
            }
        }
        Ok(())
    }

    fn parents(&mut self, path: &Path) -> Result<()> {
        match path.parent() {
            Some(parent) if parent != Path::new("") && !self.directories.contains(parent) => {
                self.parents(parent)?;
                self.directory(parent)
            }
            _ => Ok(()),
        }
    }

    fn directory(&mut self, path: &Path) -> Result<()> {
        if !self.directories.insert(path.into()) {
            return Ok(());
        }
        self.entry(path.to_str().context("a file name that is no UTF-8")?, 0o040_755, &[])
    }

    fn entry(&mut self, name: &str, mode: u32, content: &[u8]) -> Result<()> {
        self.inode += 1;
        let size = u32::try_from(content.len()).with_context(|| format!("{name} is too large"))?;
        let mut writer = Builder::new(name).mode(mode).ino(self.inode).write(&mut self.out, size);
        writer.write_all(content).and_then(|()| writer.finish()).with_context(|| format!("cannot pack {name}"))?;
        Ok(())
    }

    fn finish(self) -> Result<()> {
        let out = trailer(self.out).context("cannot finish an archive")?;
        // The next archive in the same file begins at a multiple of four.
        let mut file = out.into_inner().map_err(io::IntoInnerError::into_error).context("cannot finish an archive")?;
        let length = file.metadata().context("cannot finish an archive")?.len();
        file.write_all(&vec![0; (length.next_multiple_of(512) - length) as usize]).context("cannot finish an archive")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_holds_each_directory_once_and_before_its_files() {
        let path = std::env::temp_dir().join(format!("weir-image-{}.cpio", std::process::id()));
        let mut image = Image::create(&path).expect("create");
        image.file("a/b/c", 0o755, b"hello").expect("a file");
        image.file("a/b/d", 0o644, b"").expect("a file");
        image.finish().expect("finish");
        let bytes = fs::read(&path).expect("read");
        fs::remove_file(&path).expect("remove");
        assert_eq!(bytes.len() % 512, 0);
        let mut names = Vec::new();
        let mut rest = &bytes[..];
        loop {
            let reader = cpio::NewcReader::new(rest).expect("an entry");
            if reader.entry().is_trailer() {
                break;
            }
            names.push((reader.entry().name().to_owned(), reader.entry().mode(), reader.entry().file_size()));
            rest = reader.finish().expect("the next entry");
        }
        let expected = [("a", 0o040_755, 0), ("a/b", 0o040_755, 0), ("a/b/c", 0o100_755, 5), ("a/b/d", 0o100_644, 0)];
        assert_eq!(names, expected.map(|(name, mode, size)| (name.to_owned(), mode, size)));
    }
}
