//! Who a process of this host is.

pub mod cgroup;
