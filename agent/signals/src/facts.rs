//! What a window says of services, processes and connections: gathered once, read by every signal that needs it.

pub(crate) mod answers;
pub(crate) mod callees;
pub(crate) mod observed;
pub(crate) mod owners;
pub(crate) mod senders;
pub(crate) mod waits;
