//! The signals, one folder for what they are about. Each is a reading of the window, a verdict and a report.

pub(crate) mod edge;
pub(crate) mod pool;
pub(crate) mod queue;
pub(crate) mod resource;
