//! Loads and attaches the kernel half. Everything in the kernel is held by file descriptors, so nothing remains after the end of
//! the process, whatever ends it.

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
