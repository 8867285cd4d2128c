//! Where to look: the ends of the edge on which most of what is wrong is seen.

use std::net::SocketAddr;

use crate::report::contract::Place;
use weir_engine::{Edge, Process};

/// The ends of one of several edges, and what is known of them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ends<'a> {
    most: u64,
    /// The server's.
    pub(crate) address: Option<SocketAddr>,
    client: Option<&'a Process>,
    /// The busiest that serves the edge.
    server: Option<&'a Process>,
}

impl<'a> Ends<'a> {
    /// Takes an edge's ends, unless more is wrong on another; of two alike, the later one's. True if it did.
    pub(crate) fn look(&mut self, edge: &'a Edge, wrong: u64) -> bool {
        let is_worst = wrong >= self.most;
        if is_worst {
            self.most = wrong;
            self.address = edge.server.socket_address().or(self.address);
            self.client = edge.client.process.as_ref().ok().or(self.client);
            let busiest = edge.server_processes.iter().max_by_key(|share| (share.rounds, share.open_connections));
            self.server = busiest.map(|share| &share.process).or(self.server);
        }
        is_worst
    }

    /// The client's process, where it is on this host.
    pub(crate) fn client(&self) -> Option<Place> {
        self.client.map(Place::of)
    }

    /// The server's.
    pub(crate) fn server(&self) -> Option<Place> {
        self.server.map(Place::of)
    }

    /// The server's process, or else its address.
    pub(crate) fn server_or_address(&self) -> Option<Place> {
        self.server().or(self.address.map(Place::Address))
    }

    /// A command with a filter by the server's port: `ss -tnp 'sport = :80'`.
    pub(crate) fn ss(&self, options: &str, which: &str) -> String {
        match self.address {
            Some(address) => format!("ss {options} '{which} = :{}'", address.port()),
            None => format!("ss {options}"),
        }
    }
}
