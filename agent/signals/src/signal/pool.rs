//! Pools of connections, which no interface declares: a process, and its connections to one service.
//!
//! ```text
//! Facts ─▶ pools: how connections are used, and what callers ask of the process ─▶ reading: H, Q, wait, class ─▶ exhausted, near_limit
//! ```

pub(crate) mod exhausted;
mod near;
pub(crate) mod near_limit;
#[cfg(test)]
mod near_tests;
mod reading;
pub(crate) mod refused;
mod report;
mod report_near;
#[cfg(test)]
mod tests;
