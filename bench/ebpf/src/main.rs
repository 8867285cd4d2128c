//! The floors: what a program costs on each of weir's hooks before it does anything (`empty_<hook>`), and when it
//! does the least that is of use (`count_<hook>`: one counter per CPU).

#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(target_arch = "bpf")]
mod floors;

#[cfg(not(target_arch = "bpf"))]
fn main() {}
