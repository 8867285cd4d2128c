//! Measurement: processes, their time, and their priority.

pub(crate) mod group;
pub(crate) mod priority;
pub(crate) mod process;
