//! Pools of connections, which nobody declares: a process, and its connections to one service.
//!
//! ```text
//! Snapshot ─▶ inbound: what callers ask of each process ─┐
//!         └─▶ usage: how its connections are used ───────┴▶ reading: H, Q, wait, class ─▶ exhausted, near_limit
//! ```

mod exhausted;
mod inbound;
mod near_limit;
#[cfg(test)]
mod near_tests;
mod pooled;
mod reading;
mod refused;
mod say;
mod say_near;
#[cfg(test)]
mod tests;
mod usage;

pub(crate) use exhausted::PoolExhausted;
pub(crate) use exhausted::SIGNAL as EXHAUSTED;
pub(crate) use near_limit::PoolNearLimit;
pub(crate) use near_limit::SIGNAL as NEAR_LIMIT;
pub(crate) use refused::PoolRefused;
pub(crate) use refused::SIGNAL as REFUSED;
