//! What is normal: baselines, forecasts, and the memory that they live in.

pub(crate) mod baseline;
pub(crate) mod forecast;
pub(crate) mod proportion;
pub(crate) mod subjects;
