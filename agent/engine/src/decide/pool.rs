//! Pools of connections, which nobody declares: a process, and its connections to one service.
//!
//! ```text
//! Snapshot ─▶ inbound: what callers ask of each process ─┐
//!         └─▶ usage: how its connections are used ───────┴▶ reading: H, Q, wait, class ─▶ exhausted
//! ```

mod exhausted;
mod inbound;
mod reading;
mod refused;
mod say;
#[cfg(test)]
mod tests;
mod usage;

pub use exhausted::PoolExhausted;
pub(super) use exhausted::SIGNAL as EXHAUSTED;
pub use refused::PoolRefused;
pub(super) use refused::SIGNAL as REFUSED;
