//! Reads small files below the host's root, whose content is not trusted.

use std::{
    io::{self, Read as _},
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
};

use rustix::fs::{self, FileType, Mode, OFlags, ResolveFlags};

/// The root of the host's first process: reachable also from inside a container that shares the host's pid namespace.
pub(crate) const HOST: &str = "/proc/1/root";

/// A directory below which files are read as if it were `/`.
#[derive(Debug)]
pub(crate) struct Root {
    directory: OwnedFd,
    path: PathBuf,
}

impl Root {
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self { directory: fs::open(path, flags, Mode::empty())?, path: path.to_owned() })
    }

    /// The whole of a regular file that is no longer than `limit`.
    ///
    /// Links are followed as the host would (`/var/run` is `/run` below its root). The directory's owner may replace the file by
    /// anything: a pipe must not block, a device must not be read.
    ///
    /// # Errors
    /// Those of opening and reading; `InvalidData` if it is no regular file; `FileTooLarge` if it is longer.
    pub(crate) fn read(&self, path: &str, limit: usize) -> io::Result<Vec<u8>> {
        let file = self.open_below(path, OFlags::RDONLY)?;
        if FileType::from_raw_mode(fs::fstat(&file)?.st_mode) != FileType::RegularFile {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let (bytes, whole) = up_to(file, limit)?;
        if whole { Ok(bytes) } else { Err(io::ErrorKind::FileTooLarge.into()) }
    }

    /// The names in a directory, in no order, at most `limit`.
    ///
    /// # Errors
    /// Those of opening and reading.
    pub(crate) fn list(&self, path: &str, limit: usize) -> io::Result<Vec<String>> {
        let directory = fs::Dir::new(self.open_below(path, OFlags::RDONLY | OFlags::DIRECTORY)?)?;
        let names = directory.filter_map(|entry| Some(entry.ok()?.file_name().to_str().ok()?.to_owned()));
        Ok(names.filter(|name| !matches!(name.as_str(), "." | "..")).take(limit).collect())
    }

    /// The directories in a directory with their inode numbers, in no order, at most `limit`.
    ///
    /// # Errors
    /// Those of opening and reading.
    pub(crate) fn directories(&self, path: &str, limit: usize) -> io::Result<Vec<(String, u64)>> {
        let directory = fs::Dir::new(self.open_below(path, OFlags::RDONLY | OFlags::DIRECTORY)?)?;
        let below = directory.filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().to_str().ok()?;
            let counts = entry.file_type() == FileType::Directory && !matches!(name, "." | "..");
            counts.then(|| (name.to_owned(), entry.ino()))
        });
        Ok(below.take(limit).collect())
    }

    fn open_below(&self, path: &str, flags: OFlags) -> io::Result<OwnedFd> {
        let flags = flags | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        match fs::openat2(&self.directory, path, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
            // The seccomp profile of an older container runtime forbids openat2: absolute links then find nothing.
            Err(rustix::io::Errno::NOSYS | rustix::io::Errno::PERM) => {
                Ok(fs::open(self.path.join(path.trim_start_matches('/')), flags, Mode::empty())?)
            }
            opened => Ok(opened?),
        }
    }
}

/// A file of `directory` up to `limit` bytes, and whether that is all of it.
pub(crate) fn read_at(directory: impl AsFd, name: &str, limit: usize) -> io::Result<(Vec<u8>, bool)> {
    up_to(fs::openat(directory, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?, limit)
}

fn up_to(file: OwnedFd, limit: usize) -> io::Result<(Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    std::fs::File::from(file).take(limit as u64 + 1).read_to_end(&mut bytes)?;
    let whole = bytes.len() <= limit;
    bytes.truncate(limit);
    Ok((bytes, whole))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_below_the_root_and_pipes_do_not_block() {
        let directory = crate::local::scratch("files");
        std::fs::create_dir_all(directory.join("run")).expect("directory");
        std::fs::write(directory.join("run/a"), "1234").expect("file");
        std::os::unix::fs::symlink("/run", directory.join("elsewhere")).expect("link");
        let mode = Mode::RUSR | Mode::WUSR;
        fs::mknodat(fs::CWD, directory.join("pipe"), FileType::Fifo, mode, 0).expect("pipe");
        let root = Root::open(&directory).expect("root");
        assert_eq!(root.read("/elsewhere/a", 4).expect("through a link"), b"1234");
        assert_eq!(root.read("/run/a", 3).expect_err("too long").kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(root.read("/pipe", 4).expect_err("a pipe").kind(), io::ErrorKind::InvalidData);
        assert_eq!(root.read("/../../run/none", 4).expect_err("none").kind(), io::ErrorKind::NotFound);
        assert_eq!(root.list("/run", 10).expect("names"), ["a"]);
        std::fs::remove_dir_all(directory).expect("removed");
    }
}
