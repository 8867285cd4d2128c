//! Signals about limits of processes, cgroups and the host.

pub(crate) mod cpu_throttled;
pub(crate) mod cpu_wait;
pub(crate) mod fds_exhausted;
pub(crate) mod host_limits;
pub(crate) mod ports_exhausted;
pub(crate) mod pressure;
