//! What a window says of an edge: the difference between two records, joined from both ends, put together by service.

pub(crate) mod counts;
pub(crate) mod distribution;
pub(crate) mod ends;
pub(crate) mod join;
pub(crate) mod service;
pub(crate) mod totals;
pub(crate) mod view;
