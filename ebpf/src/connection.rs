//! A connection's record from its first sight to its end, one file for each part of a connection's life.

pub(crate) mod adopt;
pub(crate) mod bytes;
pub(crate) mod close;
pub(crate) mod early_close;
mod reuse;
pub(crate) mod rounds;
pub(crate) mod transfer;
