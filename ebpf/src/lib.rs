//! The kernel half's logic as plain Rust: no kernel, no clock, no maps. Time is an argument.
//!
//! These functions are compiled into the probes unchanged and tested natively.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod fill;
pub mod histogram;
pub mod idle_time;
pub mod pipelining;
pub mod round;
pub mod sampling_hash;
pub mod socket;
pub mod table_slots;
