//! Where inputs come from: the kernel half's maps and ring, polls of the host, and the clock.

pub(crate) mod clock;
mod machine;
pub(crate) mod poll;
pub(crate) mod reader;
pub(crate) mod timer;
pub(crate) mod waker;
