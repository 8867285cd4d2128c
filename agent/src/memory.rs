//! What weir gives back of the memory it had.

use std::ffi::c_void;

use rustix::param::page_size;

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
    release_heap();
    // SAFETY: the callback keeps to what it is called with.
    unsafe { libc::dl_iterate_phdr(Some(release_code), std::ptr::null_mut()) };
}

/// Lets go of the pages of a loaded object that nobody can have written to: they are its file's.
unsafe extern "C" fn release_code(object: *mut libc::dl_phdr_info, _size: usize, _data: *mut c_void) -> libc::c_int {
    // SAFETY: the loader's own description of an object that stays loaded.
    let (base, headers) = unsafe {
        let object = &*object;
        if object.dlpi_phdr.is_null() {
            return 0;
        }
        (object.dlpi_addr as usize, std::slice::from_raw_parts(object.dlpi_phdr, usize::from(object.dlpi_phnum)))
    };
    let page = page_size();
    for header in headers.iter().filter(|header| header.p_type == libc::PT_LOAD && header.p_flags & libc::PF_W == 0) {
        let begin = base.wrapping_add(header.p_vaddr as usize);
        let (first, end) = (begin.next_multiple_of(page), begin.wrapping_add(header.p_filesz as usize) & !(page - 1));
        if first < end {
            // SAFETY: whole pages of a private mapping of a file, never written to: they read the same afterwards.
            unsafe { libc::madvise(first as *mut c_void, end - first, libc::MADV_DONTNEED) };
        }
    }
    0
}
