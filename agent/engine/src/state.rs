//! What the inputs have come to: cumulative, bounded, and shared between the beginnings of windows.

pub(crate) mod compact;
pub(crate) mod cumulative;
pub(crate) mod fold;
pub(crate) mod host;
pub(crate) mod names;
pub(crate) mod queues;
