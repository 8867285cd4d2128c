//! Fields of an edge.

use super::{
    Field, OUTCOME, Part, QUEUE_WAIT, RECEIVED, RESETS, ROUNDS, SENT, Unit, Value, abouts, counter, counters, end,
    flag, gauge, histogram, id, label, object, rounded, seconds,
    view::{self, NO_COMPLETE_ROUNDS, NO_HANDSHAKES, NO_READS, NO_ROUNDS, srtt},
};
use crate::{
    edge::{distribution::Distribution, view::View},
    snapshot::{Edge, Failure},
};

const LOWER_BOUND: &str = "a lower bound of requests";
const NO_CONNECTS: &str = "no connect succeeded in this window";
const NO_FAILURES: &str = "no connect failed in this window";
const SEE_CLIENT: &str = "the client is not on this host: see service_s for the server's own time";

/// An edge, in `edges` of `weir edges` and in `callers` and `callees` of `weir explain`.
pub const EDGE: &[Field<Edge>] = &[
    object("client", "the end that connected", |edge: &Edge| Part::End(&edge.client).into()).parts(|| abouts(end::END)),
    object("server", "the end that accepted", |edge: &Edge| Part::Server(edge).into()).parts(end::server),
    label("transport", "`tcp`", |_| "tcp".into()),
    counters(
        "connects",
        OUTCOME,
        "connects by outcome: `ok`; `refused` (RST answered the SYN); `timeout` (the far end was silent: \
         ETIMEDOUT, or the caller closed the socket after a SYN had been retransmitted); `unreachable` (no \
         route, or ICMP); `reset`; `cancelled` (closed while connecting, before a SYN was retransmitted); \
         `address_not_available` (no free port or address); `other`",
        |edge: &Edge| edge.connects().into(),
    )
    .source("`inet_sock_set_state`, `sys_exit_connect`"),
    counter(
        "connects_timeout_by_caller",
        "of the timeouts: those where the caller gave up first (its own connect timeout)",
        |edge: &Edge| edge.total(|view| view.timeout_by_caller).into(),
    )
    .source("`tcp_sock.total_retrans`"),
    object("last_connect_failure", "the last failed connect", |edge: &Edge| {
        edge.last_failure.as_ref().map(Part::Failure).ok_or(NO_FAILURES).into()
    })
    .nullable()
    .source("ring event, at most one a second and edge")
    .parts(|| abouts(FAILURE)),
    gauge("open_connections", "established connections, now", |edge: &Edge| {
        edge.total(|view| view.open_connections).into()
    }),
    counter("rounds", "answered rounds ([rounds](rounds.md))", |edge: &Edge| edge.total(|view| view.rounds).into())
        .needs(ROUNDS)
        .sampled(),
    label(
        "rounds_are",
        "`round trips`, or `a lower bound of requests` where requests overlap or data is pushed",
        |edge: &Edge| if edge.rounds_are_a_lower_bound() { LOWER_BOUND } else { "round trips" }.into(),
    )
    .needs(ROUNDS),
    gauge("in_flight", "requests unanswered, now", |edge: &Edge| edge.total(|view| view.in_flight).into())
        .needs(ROUNDS)
        .sampled(),
    gauge(
        "in_flight_age_s",
        "how long these have been unanswered, on average: an edge that hangs shows here, and in no latency \
         before it answers",
        |edge: &Edge| match edge.total(|view| view.in_flight) {
            0 => Value::Absent("no request is unanswered"),
            n => rounded(seconds(edge.total(|view| view.in_flight_age_ns)) / n as f64).into(),
        },
    )
    .unit(Unit::Seconds)
    .nullable()
    .needs(ROUNDS)
    .sampled(),
    counter("abandoned", "requests whose client closed the connection before an answer", |edge: &Edge| {
        edge.total(|view| view.abandoned).into()
    })
    .needs(ROUNDS)
    .sampled(),
    counter("broken", "requests whose connection the server closed or reset before an answer", |edge: &Edge| {
        edge.total(|view| view.broken).into()
    })
    .needs(ROUNDS)
    .sampled(),
    counter(
        "unobserved",
        "requests that were waiting when the sample of followed sockets changed: their end was not observed",
        |edge: &Edge| edge.total(|view| view.unobserved).into(),
    )
    .needs(ROUNDS)
    .sampled(),
    histogram("latency_s", "the client's time to first byte", |edge: &Edge| of_client(edge, |v| &v.latency, NO_ROUNDS))
        .needs(ROUNDS)
        .sampled(),
    histogram("full_latency_s", "the client's time to last byte", |edge: &Edge| {
        of_client(edge, |v| &v.full_latency, NO_COMPLETE_ROUNDS)
    })
    .needs(ROUNDS)
    .sampled(),
    histogram("connect_latency_s", "SYN to ESTABLISHED, of the connects that succeeded", |edge: &Edge| {
        of_client(edge, |v| &v.connect_latency, NO_CONNECTS)
    })
    .source("`inet_sock_set_state`"),
    histogram("connect_failed_latency_s", "SYN to failure, of those that failed", |edge: &Edge| {
        of_client(edge, |v| &v.connect_failed_latency, NO_FAILURES)
    })
    .source("`inet_sock_set_state`"),
    histogram(
        "handshake_s",
        "the handshake's round trip as the kernel sampled it: a retransmitted SYN is not in it, a \
         retransmitted SYN-ACK is",
        |edge: &Edge| Value::Distribution(&edge.near_view().handshake, NO_HANDSHAKES),
    )
    .source("`tcp_sock.srtt_us`"),
    histogram(
        "receive_queue_wait_s",
        "how long requests lay in the server's socket before they were read",
        |edge: &Edge| of_server(edge, |v| &v.receive_queue_wait, NO_READS),
    )
    .needs(QUEUE_WAIT)
    .sampled(),
    histogram("service_s", "the server's own time: request read to answer sent", |edge: &Edge| {
        of_server(edge, |v| &v.latency, NO_ROUNDS)
    })
    .needs(ROUNDS)
    .sampled(),
    counter(
        "bytes_sent",
        "payload from client to server. The last quarter of a second of a connection may come with a later \
         tick of a live table (with the scan, every 10 s), never later than the connection's end or the \
         window of `--for` and `--every`",
        |edge: &Edge| edge.bytes_sent().into(),
    )
    .unit(Unit::Bytes)
    .needs(SENT)
    .sampled(),
    counter("bytes_received", "payload from server to client; likewise", |edge: &Edge| edge.bytes_received().into())
        .unit(Unit::Bytes)
        .needs(RECEIVED)
        .sampled(),
    counter(
        "retransmitted_segments",
        "segments retransmitted by both ends on this host, SYN and SYN-ACK included (the kernel's \
         `RetransSegs`)",
        |edge: &Edge| edge.retransmitted_segments().into(),
    )
    .source("`tcp_sock.total_retrans`"),
    counter("resets", "RSTs sent and received, on established connections", |edge: &Edge| edge.resets().into())
        .needs(RESETS),
    gauge("srtt_s", "smoothed round trip of the connection that last moved data", |edge: &Edge| srtt(edge.near_view()))
        .unit(Unit::Seconds)
        .nullable()
        .source("`tcp_sock.srtt_us`"),
    flag("multiplexed", "some connections carry overlapping requests ([rounds](rounds.md))", |edge: &Edge| {
        edge.is_multiplexed().into()
    })
    .needs(ROUNDS),
    flag("pipelined", "at least half of the sampled requests held several", |edge: &Edge| edge.is_pipelined().into())
        .needs(ROUNDS),
    flag("push", "some connections carry data that answers no request", |edge: &Edge| edge.is_push().into())
        .needs(ROUNDS),
    flag("partial", "some connections are older than weir", |edge: &Edge| edge.is_partial().into()),
    flag(
        "other",
        "this edge stands for all edges beyond `--max-edges`, and for connections beyond `--max-sockets`: \
         one for clients on this host, one for clients elsewhere, so that every connection is counted once. \
         Its bytes are those of whole connections, added when they close; of connections older than weir, \
         too",
        |edge: &Edge| edge.is_other.into(),
    ),
    object("views", "what the sockets of each end saw", |edge: &Edge| Part::Views(edge).into()).parts(view::views),
];

/// `last_connect_failure`.
pub const FAILURE: &[Field<Failure>] = &[
    label("outcome", "as the names in `connects`", |failure: &Failure| failure.outcome.name().into()),
    id("errno", "the error number; 0 for a cancelled connect", |failure: &Failure| failure.errno.unsigned_abs().into()),
    gauge("after_s", "from the SYN to the failure", |failure: &Failure| {
        if failure.after_ns == 0 { Value::Absent("no SYN was sent") } else { seconds(failure.after_ns).into() }
    })
    .unit(Unit::Seconds)
    .nullable(),
    counter("syn_retransmits", "SYNs retransmitted", |failure: &Failure| failure.syn_retransmits.into()),
    gauge("ago_s", "how long before the window's end", |failure: &Failure| seconds(failure.ago_ns).into())
        .unit(Unit::Seconds),
];

/// Every field of an edge and of a failure is in a row above.
const _: fn(&Edge, &Failure) = |edge, failure| {
    let Edge {
        client: _,
        server: _,
        server_processes: _, // in `server`
        client_view: _,
        server_view: _,
        unpaired_view: _, // in what an edge comes to
        last_failure: _,
        is_other: _,
    } = edge;
    let Failure { outcome: _, errno: _, after_ns: _, syn_retransmits: _, ago_ns: _ } = failure;
};

fn of_client<'a>(edge: &'a Edge, of: fn(&View) -> &Distribution, nothing: &'static str) -> Value<'a> {
    edge.client_view.as_ref().map_or(Value::Absent(SEE_CLIENT), |view| Value::Distribution(of(view), nothing))
}

fn of_server<'a>(edge: &'a Edge, of: fn(&View) -> &Distribution, nothing: &'static str) -> Value<'a> {
    match &edge.server_view {
        Ok(view) => Value::Distribution(of(view), nothing),
        Err(absent) => Value::Absent(absent.reason()),
    }
}
