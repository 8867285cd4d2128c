//! Questions to connection tracking and their answers.

use std::{net::SocketAddr, path::PathBuf};

/// A connection to look up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question {
    /// The edge's slot.
    pub slot: u32,
    /// A process in the client's network namespace.
    pub pid: u32,
    /// That namespace, by its inode number.
    pub netns: u32,
    /// The client's address and port, as its socket has them.
    pub client: SocketAddr,
    /// The address and port that it connects to.
    pub dialled: SocketAddr,
}

/// The outcome of a lookup.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The edge's slot.
    pub slot: u32,
    /// The address of the question: the slot may have been given to another edge meanwhile.
    pub dialled: SocketAddr,
    /// Where the connection really goes, if it is translated.
    pub backend: Option<SocketAddr>,
}

/// Where and what to look up.
#[derive(Clone, Debug)]
pub struct Options {
    /// The mount point of procfs.
    pub proc: PathBuf,
    /// The network namespace to look in after the client's.
    pub initial: PathBuf,
    /// Zones of connection tracking to look in, in order. Zone 0 has all connections that no rule has put in another one.
    pub zones: Vec<u16>,
}

impl Default for Options {
    fn default() -> Self {
        Self { proc: "/proc".into(), initial: "/proc/1/ns/net".into(), zones: vec![0] }
    }
}
