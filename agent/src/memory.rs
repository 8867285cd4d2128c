//! What weir gives back of the memory it had.

use std::{ffi::c_void, fs, ops::Range};

/// One heap for all threads: a second one, for the few questions of a thread, would keep memory of its own. To be called
/// before there are any.
pub(crate) fn share_heap() {
    // SAFETY: sets a number.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Gives the kernel back what the heap has kept of freed memory.
pub(crate) fn release_heap() {
    // SAFETY: no arguments that could be wrong.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// The start is over: the kernel's type information has been parsed and dropped, 20 MiB of heap, and most of the code that
/// was run will not be run again, 4 MiB of 9. What is needed of it comes back page by page.
pub(crate) fn release_start() {
    // A kernel may be built without it (`CONFIG_PROC_PAGE_MONITOR`).
    for Range { start, end } in
        fs::read_to_string("/proc/self/smaps").map(|smaps| as_in_their_files(&smaps)).unwrap_or_default()
    {
        // SAFETY: pages of a file's private mapping, none of which was written to: they read the same afterwards.
        unsafe { libc::madvise(start as *mut c_void, end - start, libc::MADV_DONTNEED) };
    }
    release_heap();
}

/// Private mappings of files that cannot be written to, and have no page of which that is not true: where something has
/// been patched (text relocations, a debugger's breakpoints, a packed executable), the kernel counts anonymous memory.
fn as_in_their_files(smaps: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut current = None;
    for line in smaps.lines() {
        if let Some(mapping) = mapping(line) {
            current = mapping;
        } else if line.strip_prefix("Anonymous:").is_some_and(|size| size.trim() == "0 kB") {
            found.extend(current.take());
        }
    }
    found
}

/// `559f8a8e2000-559f8a95b000 r-xp 00121000 fe:00 4867 /usr/bin/weir`; the inner one is none where it is not wanted.
fn mapping(line: &str) -> Option<Option<Range<usize>>> {
    let mut words = line.split_whitespace();
    let (start, end) = words.next()?.split_once('-')?;
    let range = usize::from_str_radix(start, 16).ok()?..usize::from_str_radix(end, 16).ok()?;
    let (permissions, inode) = (words.next()?, words.nth(2)?);
    let wanted = permissions.starts_with("r-") && permissions.ends_with('p') && inode != "0";
    Some(wanted.then_some(range))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_as_in_its_file() {
        let smaps = "\
55d0a000-55d0c000 r--p 00000000 fe:00 12 /usr/bin/weir\nSize: 8 kB\nAnonymous:             0 kB\nVmFlags: rd mr\n\
55d0c000-55d0e000 r-xp 00002000 fe:00 12 /usr/bin/weir\nAnonymous:             4 kB\n\
55d0e000-55d0f000 rw-p 00004000 fe:00 12 /usr/bin/weir\nAnonymous:             0 kB\n\
55d0f000-55d10000 r--s 00000000 00:0e 7 anon_inode:bpf-map\nAnonymous:             0 kB\n\
7ffd1000-7ffd3000 r-xp 00000000 00:00 0 [vdso]\nAnonymous:             0 kB\n\
7ffd4000-7ffd5000 r-xp 00000000 fe:00 13 /lib/a name with spaces.so\nAnonymous:             0 kB\n";
        assert_eq!(as_in_their_files(smaps), [0x55d0_a000..0x55d0_c000, 0x7ffd_4000..0x7ffd_5000]);
        for odd in ["", "-", "x-y r-xp", "Anonymous: 0 kB", "1-2", "1-2 r--p 0 0"] {
            assert!(as_in_their_files(odd).is_empty());
        }
    }

    /// And the program goes on.
    #[test]
    fn this_process_has_some() {
        let smaps = fs::read_to_string("/proc/self/smaps").expect("smaps");
        assert!(!as_in_their_files(&smaps).is_empty());
        release_start();
        assert_eq!(format!("{:?}", mapping("1-2 r--p 0 fe:00 1 x")), "Some(Some(1..2))");
    }
}
