//! Fields of one end's view of an edge.

use super::{
    About, ERROR, ERRORS, Field, OUTCOME, Part, QUEUE_WAIT, RECEIVED, RESETS_RECEIVED, RESETS_SENT, ROUNDS, SENT, Unit,
    Value, abouts, counter, counters, flag, gauge, histogram, label, object,
};
use crate::edge::view::{Reused, View};

pub(super) const NO_ROUNDS: &str = "no round was answered in this window";
pub(super) const NO_COMPLETE_ROUNDS: &str = "no round was completed in this window";
pub(super) const NO_READS: &str = "no data was read at the turn of a round in this window";
pub(super) const NO_HANDSHAKES: &str = "no handshake was timed in this window";

/// `views.client` and `views.server`.
pub const VIEW: &[Field<View>] = &[
    counters(
        "connects",
        OUTCOME,
        "connects by outcome; of a server, accepted connections are under `ok`",
        |view: &View| view.connects.into(),
    )
    .source("`inet_sock_set_state`, `sys_exit_connect`"),
    gauge("open_connections", "established connections, now", |view: &View| view.open_connections.into()),
    counter("closed_connections", "connections closed", |view: &View| view.closed.into()),
    gauge(
        "partial_connections",
        "connections first seen in mid-life, of all that were open since weir's start",
        |view: &View| view.partial.into(),
    ),
    counter("rounds", "answered rounds", |view: &View| view.rounds.into()).needs(ROUNDS).sampled(),
    gauge("in_flight", "requests unanswered, now", |view: &View| view.in_flight.into()).needs(ROUNDS).sampled(),
    counter("abandoned", "requests that this end gave up before an answer", |view: &View| view.abandoned.into())
        .needs(ROUNDS)
        .sampled(),
    counter("broken", "requests that the far end cut off", |view: &View| view.broken.into()).needs(ROUNDS).sampled(),
    counter("unobserved", "requests whose end was not observed", |view: &View| view.unobserved.into())
        .needs(ROUNDS)
        .sampled(),
    histogram("latency_s", "client: time to first byte; server: request read to answer sent", |view: &View| {
        Value::Distribution(&view.latency, NO_ROUNDS)
    })
    .needs(ROUNDS)
    .sampled(),
    histogram("full_latency_s", "the same to the answer's last byte", |view: &View| {
        Value::Distribution(&view.full_latency, NO_COMPLETE_ROUNDS)
    })
    .needs(ROUNDS)
    .sampled(),
    histogram("receive_queue_wait_s", "how long data lay in this end's sockets before it was read", |view: &View| {
        Value::Distribution(&view.receive_queue_wait, NO_READS)
    })
    .needs(QUEUE_WAIT)
    .sampled(),
    histogram("handshake_s", "the handshake's round trip as the kernel sampled it", |view: &View| {
        Value::Distribution(&view.handshake, NO_HANDSHAKES)
    })
    .source("`tcp_sock.srtt_us`"),
    counter("bytes_sent", "payload sent by this end", |view: &View| view.bytes_sent.into())
        .unit(Unit::Bytes)
        .needs(SENT)
        .sampled(),
    counter("bytes_received", "payload received by this end", |view: &View| view.bytes_received.into())
        .unit(Unit::Bytes)
        .needs(RECEIVED)
        .sampled(),
    counter("retransmitted_segments", "segments that this end retransmitted", |view: &View| {
        view.retransmitted_segments.into()
    })
    .source("`tcp_sock.total_retrans`"),
    counter("resets_sent", "RSTs sent", |view: &View| view.resets_sent.into()).needs(RESETS_SENT),
    counter("resets_received", "RSTs received", |view: &View| view.resets_received.into()).needs(RESETS_RECEIVED),
    counters(
        "errors",
        ERROR,
        "errors of established connections: `timeout`, `reset`, `unreachable`, `other`",
        |view: &View| view.errors.into(),
    )
    .needs(ERRORS),
    object(
        "reused",
        "client: requests on a connection that had been used before, what pools are judged by \
         ([signals](signals.md#pool_exhausted))",
        |view: &View| Part::Reused(view.reused()).into(),
    )
    .source("`sock_send_length`")
    .parts(|| abouts(REUSED)),
    gauge(
        "threads",
        "client: threads that sent requests in the last 4 to 9 seconds, 64 at most, distinguished by six \
         bits of their ids",
        |view: &View| view.threads.into(),
    )
    .source("`sock_send_length`"),
    counter(
        "closed_early",
        "connections that the server closed within two rounds and 200 ms of the last operation or of the \
         handshake, having spoken last; each view has those that the other end left first. A client's is \
         counted with its next step after the FIN: a read, a send or its own close",
        |view: &View| view.closed_early.into(),
    )
    .source("`inet_sock_set_state`, `tcp_receive_reset`; `sock_recv_length`, `sock_send_length`"),
    counter("closed_after_login", "the same within three to six rounds", |view: &View| view.closed_after_login.into())
        .source("likewise"),
    gauge("srtt_s", "smoothed round trip of the connection that last moved data", srtt)
        .unit(Unit::Seconds)
        .nullable()
        .source("`tcp_sock.srtt_us`"),
    flag("multiplexed", "some connections carry overlapping requests", |view: &View| view.multiplexed.into())
        .needs(ROUNDS),
    flag("push", "some connections carry data that answers no request", |view: &View| view.push.into()).needs(ROUNDS),
    counter("pipeline_sampled", "requests whose head was compared with what follows it", |view: &View| {
        view.pipelined.0.into()
    })
    .needs(ROUNDS),
    counter(
        "pipeline_repeated",
        "of these: the same head followed, so one round carried several requests",
        |view: &View| view.pipelined.1.into(),
    )
    .needs(ROUNDS),
    object(
        "littles_law",
        "the self-check of this view's timing: concurrency counted must be concurrency timed \
         ([rounds](rounds.md))",
        |view: &View| Part::LittlesLaw(view).into(),
    )
    .needs(ROUNDS)
    .parts(|| LITTLES_LAW.to_vec()),
];

/// `reused`.
pub const REUSED: &[Field<Reused>] = &[
    counter("by_same_thread", "sent by the thread that had sent the request before", |reused: &Reused| {
        reused.by_same_thread.into()
    }),
    counter("by_same_thread_at_once", "of these: within 2.1 ms of the last answer", |reused: &Reused| {
        reused.by_same_thread_at_once.into()
    }),
    counter("by_other_thread", "sent by another thread", |reused: &Reused| reused.by_other_thread.into()),
    counter("by_other_thread_at_once", "of these: within 2.1 ms of the last answer", |reused: &Reused| {
        reused.by_other_thread_at_once.into()
    }),
];

/// `littles_law`. Which numbers it has depends on its state, so the fields are read together.
pub const LITTLES_LAW: &[About] = &[
    label::<()>("state", "`holds`, `broken`, `cut by the window` or `too few rounds`", |()| Value::OfTheWriter).about,
    gauge::<()>("concurrency", "where it holds: mean rounds in flight", |()| Value::OfTheWriter).about,
    gauge::<()>("concurrency_counted", "where it is broken: as counted", |()| Value::OfTheWriter).about,
    gauge::<()>("concurrency_timed", "where it is broken: as the latencies give it", |()| Value::OfTheWriter).about,
];

/// `views`.
pub(super) fn views() -> Vec<About> {
    let view = |name, help| object::<()>(name, help, |()| Value::OfTheWriter).nullable().parts(|| abouts(VIEW)).about;
    vec![
        view("client", "what the client's sockets saw; null where it is not on this host"),
        view("server", "what the server's sockets saw; likewise"),
    ]
}

/// Every field of a view is in a row above, in one of the edge, or left out for the reason beside it.
const _: fn(&View, &Reused) = |view, reused| {
    let View {
        connects: _,
        timeout_by_caller: _, // of the client alone: on the edge
        open_connections: _,
        closed: _,
        partial: _,
        rounds: _,
        in_flight: _,
        in_flight_age_ns: _, // on the edge, as a mean
        abandoned: _,
        broken: _,
        unobserved: _,
        unanswered_ns: _,    // for signals
        in_flight_before: _, // in `littles_law`
        in_flight_ns: _,     // in `littles_law`
        multiplexed: _,
        push: _,
        pipelined: _,
        bytes_sent: _,
        bytes_received: _,
        retransmitted_segments: _,
        resets_sent: _,
        resets_received: _,
        errors: _,
        reused_by_same_thread: _,  // in `reused`
        reused_by_other_thread: _, // in `reused`
        threads: _,
        closed_early: _,
        closed_after_login: _,
        srtt_us: _,
        latency: _,
        full_latency: _,
        receive_queue_wait: _,
        connect_latency: _,        // of the client alone: on the edge
        connect_failed_latency: _, // of the client alone: on the edge
        handshake: _,
    } = view;
    let Reused { by_same_thread: _, by_same_thread_at_once: _, by_other_thread: _, by_other_thread_at_once: _ } =
        reused;
};

pub(super) fn srtt(view: &View) -> Value<'_> {
    match view.srtt_us {
        0 => Value::Absent("the kernel has not sampled a round trip"),
        us => Value::Number(f64::from(us) / 1e6),
    }
}
