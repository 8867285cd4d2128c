//! Returns memory to the kernel.

use std::{ffi::c_void, fs, ops::Range};

/// One heap for all threads: a second one, for the little work of a thread, would keep memory of its own. To be called before
/// the first thread is started.
pub(crate) fn share_heap() {
    // SAFETY: sets a number of the allocator.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Returns freed memory that the heap keeps.
pub(crate) fn release_heap() {
    // SAFETY: the argument is valid, and no memory in use is touched.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0);
    }
}

/// To be called at the end of the start: the kernel's type information has been parsed and dropped, 20 MiB of heap, and most of
/// the code that was run will not run again, 4 MiB of 9. Pages that are needed again are read back one by one.
pub(crate) fn release_start() {
    // A kernel without `CONFIG_PROC_PAGE_MONITOR` does not have the file.
    for Range { start, end } in
        fs::read_to_string("/proc/self/smaps").map(|smaps| unmodified_mappings(&smaps)).unwrap_or_default()
    {
        // SAFETY: pages of a file's private mapping, none of which was written to: they have the same content afterwards.
        unsafe { libc::madvise(start as *mut c_void, end - start, libc::MADV_DONTNEED) };
    }
    release_heap();
}

/// Private read-only mappings of files without modified pages. Where a page was modified (text relocations, a debugger's
/// breakpoints, a packed executable), the kernel counts anonymous memory.
fn unmodified_mappings(smaps: &str) -> Vec<Range<usize>> {
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

/// `559f8a8e2000-559f8a95b000 r-xp 00121000 fe:00 4867 /usr/bin/weir`; the inner value is none for other kinds of mappings.
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
    fn only_unmodified_mappings_of_files() {
        let smaps = "\
55d0a000-55d0c000 r--p 00000000 fe:00 12 /usr/bin/weir\nSize: 8 kB\nAnonymous:             0 kB\nVmFlags: rd mr\n\
55d0c000-55d0e000 r-xp 00002000 fe:00 12 /usr/bin/weir\nAnonymous:             4 kB\n\
55d0e000-55d0f000 rw-p 00004000 fe:00 12 /usr/bin/weir\nAnonymous:             0 kB\n\
55d0f000-55d10000 r--s 00000000 00:0e 7 anon_inode:bpf-map\nAnonymous:             0 kB\n\
7ffd1000-7ffd3000 r-xp 00000000 00:00 0 [vdso]\nAnonymous:             0 kB\n\
7ffd4000-7ffd5000 r-xp 00000000 fe:00 13 /lib/a name with spaces.so\nAnonymous:             0 kB\n";
        assert_eq!(unmodified_mappings(smaps), [0x55d0_a000..0x55d0_c000, 0x7ffd_4000..0x7ffd_5000]);
        for odd in ["", "-", "x-y r-xp", "Anonymous: 0 kB", "1-2", "1-2 r--p 0 0"] {
            assert!(unmodified_mappings(odd).is_empty());
        }
    }

    /// The program runs on after the release.
    #[test]
    fn this_process_has_some() {
        let smaps = fs::read_to_string("/proc/self/smaps").expect("smaps");
        assert!(!unmodified_mappings(&smaps).is_empty());
        release_start();
        assert_eq!(format!("{:?}", mapping("1-2 r--p 0 fe:00 1 x")), "Some(Some(1..2))");
    }
}
