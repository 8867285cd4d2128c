//! Signals about queues: of listeners, of sockets, of senders.

pub(crate) mod accept_queue;
pub(crate) mod client_stall;
pub(crate) mod listen_overflow;
pub(crate) mod peer_not_reading;
pub(crate) mod receive_queue;
pub(crate) mod send_limited;
pub(crate) mod unix_queue;
