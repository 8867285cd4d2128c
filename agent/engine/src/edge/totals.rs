//! An edge's numbers, each from the end that knows it best.

use std::sync::LazyLock;

use weir_abi::ConnectOutcome;

use crate::{
    edge::{counts::Counts, distribution::Distribution, view::View},
    snapshot::Edge,
};

impl Edge {
    /// The client's view, or where the client is not on this host the server's.
    pub fn near_view(&self) -> &View {
        static NOTHING: LazyLock<View> = LazyLock::new(View::nothing);
        self.client_view.as_ref().or(self.server_view.as_ref()).unwrap_or(&NOTHING)
    }

    /// Beside a client's view: what servers counted whose clients are elsewhere.
    fn beside(&self) -> Option<&View> {
        self.unpaired_view.as_ref().filter(|_| self.client_view.is_ok())
    }

    fn any(&self, holds: fn(&View) -> bool) -> bool {
        self.client_view.as_ref().is_ok_and(holds) || self.server_view.as_ref().is_ok_and(holds)
    }

    /// A count of a view, of all connections of the edge.
    pub fn total(&self, count: fn(&View) -> u64) -> u64 {
        count(self.near_view()).wrapping_add(self.beside().map_or(0, count))
    }

    /// Connects by outcome; without a client here, accepted connections are under `Ok`.
    pub fn connects(&self) -> Counts<ConnectOutcome> {
        let mut connects = self.near_view().connects;
        self.beside().iter().for_each(|view| connects.merge(&view.connects));
        connects
    }

    /// Payload from client to server.
    pub fn bytes_sent(&self) -> u64 {
        let by_servers = self.beside().map_or(0, |view| view.bytes_received);
        let near = self.near_view();
        if self.client_view.is_ok() { near.bytes_sent.wrapping_add(by_servers) } else { near.bytes_received }
    }

    /// Payload from server to client.
    pub fn bytes_received(&self) -> u64 {
        let by_servers = self.beside().map_or(0, |view| view.bytes_sent);
        let near = self.near_view();
        if self.client_view.is_ok() { near.bytes_received.wrapping_add(by_servers) } else { near.bytes_sent }
    }

    /// Of both ends, as far as they are on this host.
    pub fn retransmitted_segments(&self) -> u64 {
        let views = self.client_view.iter().chain(&self.server_view);
        views.fold(0, |sum: u64, view| sum.wrapping_add(view.retransmitted_segments))
    }

    /// Resets sent and received.
    pub fn resets(&self) -> u64 {
        self.total(|view| view.resets_sent.wrapping_add(view.resets_received))
    }

    /// The client's time to first byte. Without a client here it is the server's time from arrival to answer, which is not that.
    pub fn latency(&self) -> &Distribution {
        &self.near_view().latency
    }

    /// Half of the sampled requests held several.
    pub fn is_pipelined(&self) -> bool {
        self.any(|view| {
            let (sampled, repeated) = view.pipelined;
            repeated > 0 && repeated >= sampled / 2
        })
    }

    /// Some connections carry overlapping requests.
    pub fn is_multiplexed(&self) -> bool {
        self.is_pipelined() || self.any(|view| view.multiplexed)
    }

    /// Some connections carry data that answers no request.
    pub fn is_push(&self) -> bool {
        self.any(|view| view.push)
    }

    /// Some connections are older than weir, or were first seen in mid-life.
    pub fn is_partial(&self) -> bool {
        self.any(|view| view.partial > 0)
    }

    /// Whether there are fewer rounds than requests.
    pub fn rounds_are_a_lower_bound(&self) -> bool {
        self.is_multiplexed() || self.is_push()
    }
}
