//! Signals about the calls of an edge.

pub(crate) mod abandoned_work;
pub(crate) mod edge_errors;
pub(crate) mod hung_request;
pub(crate) mod slow_connect;
