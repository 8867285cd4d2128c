//! What an edge comes to, where its two ends know different things of it.

use weir_abi::ConnectOutcome;
use weir_engine::{Counts, Distribution, Edge, View};

/// An edge's numbers, from the view that knows each best.
pub(super) struct Facts<'a> {
    pub(super) connects: Counts<ConnectOutcome>,
    pub(super) timeout_by_caller: u64,
    pub(super) open_connections: u64,
    pub(super) rounds: u64,
    pub(super) in_flight: u64,
    pub(super) abandoned: u64,
    pub(super) broken: u64,
    pub(super) unobserved: u64,
    /// Client: time to first byte; without a client here, the server's time from arrival to answer is not it.
    pub(super) latency: &'a Distribution,
    pub(super) handshake: &'a Distribution,
    /// Client to server.
    pub(super) bytes_sent: u64,
    /// Server to client.
    pub(super) bytes_received: u64,
    /// Both ends'.
    pub(super) retransmitted_segments: u64,
    pub(super) resets: u64,
    pub(super) srtt_us: u32,
    pub(super) multiplexed: bool,
    pub(super) pipelined: bool,
    pub(super) push: bool,
    pub(super) partial: bool,
}

impl<'a> Facts<'a> {
    pub(super) fn of(edge: &'a Edge) -> Self {
        static NOTHING: std::sync::LazyLock<View> = std::sync::LazyLock::new(View::nothing);
        let client = edge.client_view.as_ref().ok();
        let server = edge.server_view.as_ref().ok();
        // Of a service with clients elsewhere too: what only its servers counted.
        let alone = edge.unpaired_view.as_ref().filter(|_| client.is_some());
        let near = client.or(server).unwrap_or(&NOTHING);
        let sum = |f: fn(&View) -> u64| f(near).wrapping_add(alone.map_or(0, f));
        let by_server = |view: &View| (view.bytes_received, view.bytes_sent);
        let (bytes_sent, bytes_received) = match client {
            Some(view) => {
                let (sent, received) = alone.map_or((0, 0), by_server);
                (view.bytes_sent.wrapping_add(sent), view.bytes_received.wrapping_add(received))
            }
            None => by_server(near),
        };
        let any = |f: fn(&View) -> bool| client.is_some_and(f) || server.is_some_and(f);
        let pipelined = any(is_pipelined);
        let mut connects = near.connects;
        alone.iter().for_each(|view| connects.merge(&view.connects));
        Self {
            connects,
            timeout_by_caller: sum(|v| v.timeout_by_caller),
            open_connections: sum(|v| v.open_connections),
            rounds: sum(|v| v.rounds),
            in_flight: sum(|v| v.in_flight),
            abandoned: sum(|v| v.abandoned),
            broken: sum(|v| v.broken),
            unobserved: sum(|v| v.unobserved),
            latency: &near.latency,
            handshake: &near.handshake,
            bytes_sent,
            bytes_received,
            retransmitted_segments: [client, server]
                .iter()
                .flatten()
                .fold(0, |sum: u64, v| sum.wrapping_add(v.retransmitted_segments)),
            resets: sum(|v| v.resets_sent.wrapping_add(v.resets_received)),
            srtt_us: near.srtt_us,
            multiplexed: pipelined || any(|v| v.multiplexed),
            pipelined,
            push: any(|v| v.push),
            partial: any(|v| v.partial > 0),
        }
    }

    /// Whether rounds undercount requests.
    pub(super) fn lower_bound(&self) -> bool {
        self.multiplexed || self.push
    }

    pub(super) fn failed_connects(&self) -> u64 {
        self.connects.failed()
    }
}

/// Half of the sampled requests held several.
fn is_pipelined(view: &View) -> bool {
    let (sampled, repeated) = view.pipelined;
    repeated > 0 && repeated >= sampled / 2
}
