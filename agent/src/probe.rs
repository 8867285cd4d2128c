//! Getting the kernel half into the kernel, and out again: everything is held by file descriptors, so the end of the
//! process, however it comes, leaves nothing behind.

pub mod attach;
pub mod btf;
pub mod load;
pub mod scan;
pub mod table;
