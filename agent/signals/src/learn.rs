//! Learned state: baselines, forecasts, and the per-subject memory that holds them.

pub(crate) mod baseline;
pub(crate) mod forecast;
pub(crate) mod proportion;
pub(crate) mod subjects;
