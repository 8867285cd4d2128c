//! Machines that lack something: a system call, forbidden as container runtimes do by seccomp; a folder.

use std::{ffi::CStr, io, os::unix::process::CommandExt as _, process::Command};

/// `SECCOMP_RET_ERRNO` with EPERM.
const REFUSE: u32 = 0x0005_0000 | libc::EPERM as u32;
const ALLOW: u32 = 0x7fff_0000;

/// Has the command run where the call of this number fails with EPERM.
pub fn forbid(command: &mut Command, call: libc::c_long) -> &mut Command {
    let step = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    // The call's number is the first word of what a filter looks at.
    let filter = [
        step((libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, 0, 0, 0),
        step((libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16, 0, 1, call as u32),
        step((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, REFUSE),
        step((libc::BPF_RET | libc::BPF_K) as u16, 0, 0, ALLOW),
    ];
    let install = move || {
        let mut filter = filter;
        let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
        // SAFETY: plain system calls with arguments that live as long as they take.
        let failed = unsafe {
            libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0
                || libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) != 0
        };
        if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: system calls only, between fork and exec.
    unsafe { command.pre_exec(install) }
}

/// Has the command run where this folder is empty.
pub fn hide<'a>(command: &'a mut Command, folder: &'static CStr) -> &'a mut Command {
    let cover = move || {
        let (none, nothing) = (c"none".as_ptr(), std::ptr::null());
        // SAFETY: plain system calls with constant texts. The namespace is the command's own: no mount reaches the host.
        let failed = unsafe {
            libc::unshare(libc::CLONE_NEWNS) != 0
                || libc::mount(none, c"/".as_ptr(), nothing, libc::MS_REC | libc::MS_PRIVATE, nothing.cast()) != 0
                || libc::mount(none, folder.as_ptr(), c"tmpfs".as_ptr(), 0, nothing.cast()) != 0
        };
        if failed { Err(io::Error::last_os_error()) } else { Ok(()) }
    };
    // SAFETY: system calls only, between fork and exec.
    unsafe { command.pre_exec(cover) }
}
