//! Getting the kernel half into the kernel, and out again: everything is held by file descriptors, so the end of the
//! process, however it comes, leaves nothing behind.

pub(crate) mod attach;
pub(crate) mod btf;
pub(crate) mod control;
pub(crate) mod kernel;
pub(crate) mod kernel_log;
pub(crate) mod load;
pub(crate) mod program;
pub(crate) mod scan;
pub(crate) mod serve;
pub(crate) mod size;
pub(crate) mod table;
