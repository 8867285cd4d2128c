//! Where the time of an edge's rounds goes: what its two ends measured, put together.
//!
//! ```text
//! client: sent ───────────────────────────────────────────── arrived ── own wait ── read
//! server:       network   arrived ── queue ── read ── work ── sent   network
//! ```

use weir_engine::{Edge, Snapshot, View};

use crate::known::{Known, QUEUE_WAIT, ROUNDS};

/// Mean parts of a round, in seconds. Together with what is left they make the whole.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Split {
    /// Rounds that the client timed.
    pub(super) rounds: u64,
    /// From the request's sending to its answer's reading, by the client.
    pub(super) whole: f64,
    /// A bare round trip, or what the measured parts leave of it.
    pub(super) network: f64,
    /// What that is taken from.
    pub(super) network_from: &'static str,
    /// The request lay in the server's socket.
    pub(super) peer_queue: f64,
    /// The server had read it and not answered.
    pub(super) peer_work: f64,
    /// The answer lay in the client's socket.
    pub(super) own_wait: f64,
    /// What is left. Below nothing where the ends did not time the same rounds, as with requests that overlap.
    pub(super) rest: f64,
}

/// Of the connections whose two ends are here, if there are any.
pub(super) fn of(pair: Option<&Edge>, edge: &Edge, snapshot: &Snapshot) -> Result<Split, String> {
    let known = Known(snapshot);
    if let Some(reason) = known.missing(&ROUNDS).or_else(|| known.missing(&QUEUE_WAIT)) {
        return Err(reason);
    }
    if known.lacks_arrivals(&QUEUE_WAIT) {
        return Err("waits in receive queues were not timed, to stay within --cpu-budget".to_owned());
    }
    let elsewhere = |who: &str| format!("the {who} is not on this host, or its sockets were not seen");
    match pair.map(|pair| (&pair.client_view, &pair.server_view)) {
        Some((Ok(client), Ok(server))) => {
            split(client, server).ok_or_else(|| "no round was answered in this window".to_owned())
        }
        _ if edge.client_view.is_err() => Err(elsewhere("client")),
        _ => Err(elsewhere("server")),
    }
}

fn split(client: &View, server: &View) -> Option<Split> {
    let whole = client.latency.mean_s()?;
    // Data that arrived before the process waited for it has no wait: each sum is spread over all rounds.
    let per_round = |sum_ns: u64, rounds: u64| if rounds == 0 { 0.0 } else { sum_ns as f64 / 1e9 / rounds as f64 };
    let (asked, served) = (client.latency.count, server.latency.count);
    let peer_queue = per_round(server.receive_queue_wait.sum_ns, server.receive_queue_wait.count.max(served));
    let peer_work = per_round(server.latency.sum_ns, served);
    let own_wait = per_round(client.receive_queue_wait.sum_ns, client.receive_queue_wait.count.max(asked));
    let (round_trip, network_from) = match client.handshake.mean_s() {
        Some(handshake) => (handshake, "handshake"),
        None if client.srtt_us > 0 => (f64::from(client.srtt_us) / 1e6, "srtt"),
        None => (0.0, "nothing: no handshake was seen, and no round trip sampled"),
    };
    let left = whole - peer_queue - peer_work - own_wait;
    // A handshake is one sample of a network that carries many rounds: it explains no more than is left.
    let network = round_trip.min(left.max(0.0));
    let rest = left - network;
    Some(Split { rounds: asked, whole, network, network_from, peer_queue, peer_work, own_wait, rest })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `rounds` of so many microseconds each.
    fn view(latency_us: u64, wait_us: u64, handshake_us: u64) -> View {
        let mut view = View::nothing();
        let times = [
            (&mut view.latency, latency_us, 10),
            (&mut view.receive_queue_wait, wait_us, 10),
            (&mut view.handshake, handshake_us, 1),
        ];
        for (distribution, us, count) in times {
            distribution.count = if us == 0 { 0 } else { count };
            distribution.sum_ns = us * 1000 * distribution.count;
        }
        view
    }

    fn sum(split: &Split) -> f64 {
        split.network + split.peer_queue + split.peer_work + split.own_wait + split.rest
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn parts_make_the_whole() {
        let split = split(&view(1000, 30, 50), &view(700, 200, 0)).expect("a split");
        assert!(near(split.whole, 1e-3) && near(sum(&split), split.whole), "{split:?}");
        assert!(near(split.peer_queue, 2e-4) && near(split.peer_work, 7e-4) && near(split.own_wait, 3e-5));
        assert!(near(split.network, 5e-5) && near(split.rest, 2e-5), "{split:?}");
        assert_eq!((split.rounds, split.network_from), (10, "handshake"));
    }

    #[test]
    fn the_network_explains_no_more_than_is_left() {
        let split = split(&view(1000, 0, 900), &view(700, 200, 0)).expect("a split");
        assert!(near(split.network, 1e-4) && near(split.rest, 0.0), "{split:?}");
    }

    #[test]
    fn without_a_handshake_the_kernels_round_trip_stands_for_it() {
        let mut client = view(1000, 0, 0);
        client.srtt_us = 40;
        let split = split(&client, &view(700, 0, 0)).expect("a split");
        assert!(split.network_from == "srtt" && near(split.network, 4e-5), "{split:?}");
    }

    #[test]
    fn what_does_not_fit_is_not_hidden() {
        let overlapping = split(&view(500, 0, 50), &view(700, 0, 0)).expect("a split");
        assert!(overlapping.rest < 0.0 && near(sum(&overlapping), overlapping.whole), "{overlapping:?}");
        assert_eq!(split(&View::nothing(), &View::nothing()), None);
    }
}
