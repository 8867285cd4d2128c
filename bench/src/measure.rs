//! Taking numbers: processes, their time, and who runs first.

pub(crate) mod group;
pub(crate) mod priority;
pub(crate) mod process;
