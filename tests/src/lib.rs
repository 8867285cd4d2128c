//! The harness: everything a test on a real kernel with real servers needs.
//!
//! A test enters the lab (`lab!()`), starts servers and traffic in it, observes them with the built `weir`, and reads
//! what it said. Tests look only at what they started themselves, so other traffic on the host does not disturb them, and
//! they run side by side; a test that has to have the kernel to itself says why, in a line `Alone: <reason>` (see [`Lab`]).
//! Nothing outlives a test, however it ends: children die with the thread that started them.

pub mod budget;
pub mod cgroup;
pub mod container;
pub mod document;
pub mod forbidden;
pub mod incidents;
pub mod lab;
pub mod machine;
pub mod nameserver;
pub mod netns;
pub mod probes;
pub mod process;
pub mod server;
pub mod shop;
pub mod tally;
pub mod traffic;
pub mod weir;

pub use crate::{
    document::{Document, Edge, Spread},
    lab::Lab,
    netns::Netns,
    tally::{close, wait_until},
    traffic::Traffic,
    weir::Weir,
};
