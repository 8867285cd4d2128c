//! Who the ends of an edge are.

pub mod kubernetes;
