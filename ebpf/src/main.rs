//! The kernel half's programs: their entries are in `entry`, their bodies in `probe::<hook>`.

#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics), expect(internal_features, reason = "see atomic::add"))]

#[cfg(target_arch = "bpf")]
mod accept_queue;
#[cfg(target_arch = "bpf")]
mod atomic;
#[cfg(target_arch = "bpf")]
mod connection;
#[cfg(target_arch = "bpf")]
mod counters;
#[cfg(target_arch = "bpf")]
mod dns;
#[cfg(target_arch = "bpf")]
mod edge;
#[cfg(target_arch = "bpf")]
mod entry;
#[cfg(target_arch = "bpf")]
mod event;
#[cfg(target_arch = "bpf")]
mod handshake_table;
#[cfg(target_arch = "bpf")]
mod kernel;
#[cfg(target_arch = "bpf")]
mod local_peer;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod owner;
#[cfg(target_arch = "bpf")]
mod probe;
#[cfg(target_arch = "bpf")]
mod request_head;
#[cfg(target_arch = "bpf")]
mod resolve;
#[cfg(target_arch = "bpf")]
mod socket_sampling;
#[cfg(target_arch = "bpf")]
mod socket_table;

#[cfg(not(target_arch = "bpf"))]
fn main() {}
