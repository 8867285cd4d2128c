//! Control groups of a test's own.

use std::{
    ffi::CStr,
    fs::{self, File},
    io::Write as _,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::Lab;

/// A hierarchy, mounted for the test: whatever the host has mounted where, a second mount is the same hierarchy.
pub struct Hierarchy {
    at: PathBuf,
}

/// A group in it.
pub struct Group {
    path: PathBuf,
}

impl Hierarchy {
    /// Version 2's.
    ///
    /// # Panics
    /// If it cannot be mounted.
    pub fn of_version_2(lab: &Lab) -> Self {
        Self::mount(lab, "cgroup2", None)
    }

    /// The one of version 1 that weir asks.
    ///
    /// # Panics
    /// If it cannot be mounted, such as where version 2 has given the controller away to groups.
    pub fn of_version_1(lab: &Lab) -> Self {
        Self::mount(lab, "cgroup", Some(c"pids"))
    }

    fn mount(lab: &Lab, kind: &str, controller: Option<&CStr>) -> Self {
        let at = lab.path(kind);
        fs::create_dir(&at).unwrap_or_else(|error| panic!("create {}: {error}", at.display()));
        let mounted = mount("none", &at, kind, MountFlags::empty(), controller);
        mounted.unwrap_or_else(|error| panic!("mount {kind} at {}: {error}", at.display()));
        Self { at }
    }

    /// Makes a group, below others that are not there yet.
    ///
    /// # Panics
    /// If it cannot be made.
    pub fn group(&self, path: &str) -> Group {
        let path = self.at.join(path);
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("create {}: {error}", path.display()));
        Group { path }
    }
}

impl Drop for Hierarchy {
    fn drop(&mut self) {
        let _ = unmount(&self.at, UnmountFlags::DETACH);
    }
}

impl Group {
    /// What the kernel calls it.
    ///
    /// # Panics
    /// If it is gone.
    pub fn id(&self) -> u64 {
        fs::metadata(&self.path).unwrap_or_else(|error| panic!("{}: {error}", self.path.display())).ino()
    }

    /// Has a command run in it.
    ///
    /// # Panics
    /// If it is gone.
    pub fn enter(&self, command: &mut Command) {
        let path = self.path.join("cgroup.procs");
        let procs = File::options().write(true).open(&path).unwrap_or_else(|e| panic!("open {}: {e}", path.display()));
        // SAFETY: one write, which is async-signal-safe; 0 is the process that writes.
        unsafe { command.pre_exec(move || (&procs).write_all(b"0")) };
    }
}

impl Drop for Group {
    /// With those above it that were made for it; others are in use, and stay.
    fn drop(&mut self) {
        let mut path: &Path = &self.path;
        while fs::remove_dir(path).is_ok() {
            let Some(above) = path.parent() else { return };
            path = above;
        }
    }
}
