//! What one end saw of an edge in a window: the difference of two cumulative records.

use weir_abi::{EdgeRecord, IDLE_BUCKETS, InFlight, N_CONNECT_OUTCOMES, N_SOCKET_ERRORS, THREADS_EXPONENT};

use crate::{
    distribution::{Distribution, bounds_s, middle_s},
    snapshot::LittlesLaw,
};

/// One end's view. Counters are of the window; `open_connections` and `in_flight` are as of its end.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// Connects by `weir_abi::ConnectOutcome`; a server's accepted connections are under `Ok`.
    pub connects: [u64; N_CONNECT_OUTCOMES],
    /// Of the timeouts: those that were the caller's own.
    pub timeout_by_caller: u64,
    /// Established connections, now.
    pub open_connections: u64,
    /// Connections closed.
    pub closed: u64,
    /// Connections first seen in mid-life, of those ever open here.
    pub partial: u64,
    /// Rounds answered.
    pub rounds: u64,
    /// Requests waiting for an answer, now.
    pub in_flight: u64,
    /// For how long they have been, together, to a millisecond each.
    pub in_flight_age_ns: u64,
    /// Rounds ended by this end's close before an answer.
    pub abandoned: u64,
    /// Rounds ended by the far end's close before an answer.
    pub broken: u64,
    /// Rounds whose end was not observed, because the sample of followed sockets changed.
    pub unobserved: u64,
    /// Time that those three took, nanoseconds.
    pub unanswered_ns: u64,
    /// Requests that were already waiting when the window began.
    pub in_flight_before: u64,
    /// Time integral of rounds in flight over the window.
    pub in_flight_ns: u64,
    /// Some connections carry overlapping requests.
    pub multiplexed: bool,
    /// Some connections carry data nobody asked for.
    pub push: bool,
    /// Sampled requests, and those that held several at once.
    pub pipelined: (u64, u64),
    /// Payload bytes sent by this end.
    pub bytes_sent: u64,
    /// Payload bytes received by this end.
    pub bytes_received: u64,
    /// Segments this end sent again.
    pub retransmitted_segments: u64,
    /// Resets sent by this end.
    pub resets_sent: u64,
    /// Resets received by this end.
    pub resets_received: u64,
    /// Errors of established connections by `weir_abi::SocketError`.
    pub errors: [u64; N_SOCKET_ERRORS],
    /// Client: requests by how long their connection had lain idle, sent by the thread that sent the one before.
    pub reused_by_same_thread: [u32; IDLE_BUCKETS],
    /// Client: those sent by another thread.
    pub reused_by_other_thread: [u32; IDLE_BUCKETS],
    /// Client: threads that have sent requests in the last 4 to 9 seconds, up to 64.
    pub threads: u32,
    /// Connections that the server ended at once after its first words, and that the other end than this had left first.
    pub closed_early: u64,
    /// The same after a few rounds.
    pub closed_after_login: u64,
    /// Smoothed round-trip time of the connection that last moved data, microseconds; 0 if never sampled.
    pub srtt_us: u32,
    /// Client: time to first byte. Server: service time.
    pub latency: Distribution,
    /// Whole rounds.
    pub full_latency: Distribution,
    /// How long data waited for the process to read it.
    pub receive_queue_wait: Distribution,
    /// Successful connects.
    pub connect_latency: Distribution,
    /// Failed connects.
    pub connect_failed_latency: Distribution,
    /// Round trip of the handshake.
    pub handshake: Distribution,
}

impl View {
    /// Requests overlap on its connections, or answers come unasked: rounds are no requests, and their times mislead.
    pub fn overlaps(&self) -> bool {
        self.multiplexed || self.push || self.pipelined.1 > 0
    }

    /// The difference of two readings of one edge at `from_ns` and `to_ns`. `before` is all zeroes for an edge that is
    /// new in the window.
    pub fn between(before: &EdgeRecord, after: &EdgeRecord, from_ns: u64, to_ns: u64) -> Self {
        let d = |f: fn(&EdgeRecord) -> u64| f(after).wrapping_sub(f(before));
        let each = |f: fn(&EdgeRecord) -> &[u64; N_CONNECT_OUTCOMES]| {
            std::array::from_fn(|i| f(after)[i].wrapping_sub(f(before)[i]))
        };
        let reused = |f: fn(&EdgeRecord) -> &[u32; IDLE_BUCKETS]| {
            std::array::from_fn(|i| f(after)[i].wrapping_sub(f(before)[i]))
        };
        let latency = Distribution::between(&before.latency, &after.latency);
        let in_flight = in_flight(after);
        let age_ns = InFlight::age_ns(after.in_flight, to_ns);
        // What ended in the window, with what has been open in it and less what was before it.
        let integral = (latency.sum_ns.wrapping_add(d(|r| r.unanswered_ns)))
            .wrapping_add(age_ns)
            .wrapping_sub(InFlight::age_ns(before.in_flight, from_ns));
        Self {
            connects: each(|r| &r.connects),
            timeout_by_caller: d(|r| r.timeout_by_caller),
            open_connections: gauge(after.opened, after.closed),
            closed: d(|r| r.closed),
            partial: after.partial.into(),
            rounds: latency.count,
            in_flight: in_flight.unwrap_or(0),
            in_flight_age_ns: if in_flight.is_none() || age_ns > i64::MAX as u64 { 0 } else { age_ns },
            in_flight_before: InFlight::count(before.in_flight),
            abandoned: d(|r| r.rounds_abandoned),
            broken: d(|r| r.rounds_broken),
            unobserved: d(|r| r.rounds_unobserved),
            unanswered_ns: d(|r| r.unanswered_ns),
            // A round may end between two words of a reading; what then comes out negative was nothing.
            in_flight_ns: if in_flight.is_none() || integral > i64::MAX as u64 { 0 } else { integral },
            multiplexed: gauge(after.multiplexed_set, after.multiplexed_cleared) > 0 || d(|r| r.multiplexed_set) > 0,
            push: gauge(after.push_set, after.push_cleared) > 0 || d(|r| r.push_set) > 0,
            pipelined: (d(|r| r.pipeline_sampled), d(|r| r.pipeline_repeated)),
            bytes_sent: d(|r| r.bytes_sent),
            bytes_received: d(|r| r.bytes_received),
            retransmitted_segments: d(|r| r.retransmitted_segments),
            resets_sent: d(|r| r.resets_sent),
            resets_received: d(|r| r.resets_received),
            errors: std::array::from_fn(|i| after.errors[i].wrapping_sub(before.errors[i])),
            reused_by_same_thread: reused(|r| &r.reused_by_same_thread),
            reused_by_other_thread: reused(|r| &r.reused_by_other_thread),
            threads: threads(after, to_ns),
            closed_early: d(|r| r.closed_early),
            closed_after_login: after.closed_after_login.wrapping_sub(before.closed_after_login).into(),
            srtt_us: after.srtt_us,
            full_latency: latency
                .corrected(&Distribution::between(&before.full_latency_correction, &after.full_latency_correction)),
            latency,
            receive_queue_wait: Distribution::between(&before.receive_queue_wait, &after.receive_queue_wait),
            connect_latency: Distribution::between(&before.connect_latency, &after.connect_latency),
            connect_failed_latency: Distribution::between(
                &before.connect_failed_latency,
                &after.connect_failed_latency,
            ),
            handshake: Distribution::between(&before.handshake, &after.handshake),
        }
    }

    /// One in which nothing happened.
    pub fn nothing() -> Self {
        Self::between(&EdgeRecord::EMPTY, &EdgeRecord::EMPTY, 0, 0)
    }

    /// Connects that did not succeed.
    pub fn failed_connects(&self) -> u64 {
        self.connects[1..].iter().fold(0, |sum, n| sum.wrapping_add(*n))
    }

    /// Whether anything happened, or is open.
    pub fn is_silent(&self) -> bool {
        self.open_connections == 0
            && self.connects.iter().all(|&n| n == 0)
            && self.closed == 0
            && self.rounds == 0
            && self.in_flight == 0
            && self.abandoned | self.broken | self.unobserved == 0
            && self.bytes_sent | self.bytes_received == 0
            && self.retransmitted_segments | self.resets_sent | self.resets_received == 0
    }

    /// Adds another process's view of the same edge.
    pub fn merge(&mut self, other: &Self) {
        for (mine, theirs) in self.connects.iter_mut().zip(other.connects) {
            *mine = mine.wrapping_add(theirs);
        }
        for (mine, theirs) in self.errors.iter_mut().zip(other.errors) {
            *mine = mine.wrapping_add(theirs);
        }
        self.timeout_by_caller = self.timeout_by_caller.wrapping_add(other.timeout_by_caller);
        self.open_connections = self.open_connections.wrapping_add(other.open_connections);
        self.closed = self.closed.wrapping_add(other.closed);
        self.partial = self.partial.wrapping_add(other.partial);
        self.rounds = self.rounds.wrapping_add(other.rounds);
        self.in_flight = self.in_flight.wrapping_add(other.in_flight);
        self.in_flight_age_ns = self.in_flight_age_ns.saturating_add(other.in_flight_age_ns);
        self.in_flight_before = self.in_flight_before.wrapping_add(other.in_flight_before);
        self.abandoned = self.abandoned.wrapping_add(other.abandoned);
        self.broken = self.broken.wrapping_add(other.broken);
        self.unobserved = self.unobserved.wrapping_add(other.unobserved);
        self.unanswered_ns = self.unanswered_ns.saturating_add(other.unanswered_ns);
        self.in_flight_ns = self.in_flight_ns.saturating_add(other.in_flight_ns);
        self.multiplexed |= other.multiplexed;
        self.push |= other.push;
        self.pipelined =
            (self.pipelined.0.wrapping_add(other.pipelined.0), self.pipelined.1.wrapping_add(other.pipelined.1));
        self.bytes_sent = self.bytes_sent.wrapping_add(other.bytes_sent);
        self.bytes_received = self.bytes_received.wrapping_add(other.bytes_received);
        self.retransmitted_segments = self.retransmitted_segments.wrapping_add(other.retransmitted_segments);
        self.resets_sent = self.resets_sent.wrapping_add(other.resets_sent);
        self.resets_received = self.resets_received.wrapping_add(other.resets_received);
        for (mine, theirs) in [
            (&mut self.reused_by_same_thread, other.reused_by_same_thread),
            (&mut self.reused_by_other_thread, other.reused_by_other_thread),
        ] {
            mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine = mine.wrapping_add(theirs));
        }
        self.threads = self.threads.saturating_add(other.threads);
        self.closed_early = self.closed_early.wrapping_add(other.closed_early);
        self.closed_after_login = self.closed_after_login.wrapping_add(other.closed_after_login);
        self.srtt_us = self.srtt_us.max(other.srtt_us);
        self.latency.merge(&other.latency);
        self.full_latency.merge(&other.full_latency);
        self.receive_queue_wait.merge(&other.receive_queue_wait);
        self.connect_latency.merge(&other.connect_latency);
        self.connect_failed_latency.merge(&other.connect_failed_latency);
        self.handshake.merge(&other.handshake);
    }

    /// The time integral of answers that had begun and not ended. One that took longer than the window is told of in the window
    /// in which it ends: half of that is its share.
    pub fn answering_ns(&self, window_ns: u64) -> u64 {
        let in_pieces_ns = self.full_latency.sum_ns.saturating_sub(self.latency.sum_ns);
        // Most answers come in one piece.
        if in_pieces_ns == 0 {
            return 0;
        }
        let window_s = window_ns as f64 / 1e9;
        let too_long = self.full_latency.buckets().filter(|(bucket, _)| bounds_s(*bucket).0 >= window_s);
        let too_long_ns = too_long.map(|(bucket, n)| f64::from(n) * (middle_s(bucket) - window_s / 2.0) * 1e9);
        (in_pieces_ns as f64 - too_long_ns.sum::<f64>()).max(0.0) as u64
    }

    /// Little's law: the time integral of concurrency must be the sum of the times in it. A round that was opened and
    /// never ended, or ended with another start than it was opened with, shows as a difference. Of a request cut by the window's end only a part is
    /// in the integral, which is allowed for; of one cut by its beginning the whole is in its latency, and then nothing
    /// can be said.
    pub fn littles_law(&self, window_ns: u64) -> LittlesLaw {
        /// Below this many rounds the ends of the window dominate.
        const MIN_ROUNDS: u64 = 20;
        /// Two hooks read their clocks some hundred nanoseconds apart; a tenth is what short rounds make of that.
        const TOLERANCE: f64 = 0.10;
        if self.rounds < MIN_ROUNDS {
            return LittlesLaw::TooFew;
        }
        let counted = self.in_flight_ns as f64;
        let timed = self.latency.sum_ns as f64;
        let unanswered = [self.in_flight, self.abandoned, self.broken, self.unobserved];
        let cut = unanswered.iter().map(|n| *n as f64).sum::<f64>() * window_ns as f64;
        let gap = (counted - timed).abs();
        if self.in_flight_before > 0 && timed > counted {
            LittlesLaw::CutByWindow
        } else if gap <= TOLERANCE * timed + cut {
            LittlesLaw::Holds { concurrency: counted / window_ns.max(1) as f64 }
        } else {
            LittlesLaw::Broken { counted: counted / window_ns.max(1) as f64, timed: timed / window_ns.max(1) as f64 }
        }
    }
}

/// Rounds in flight in a record; none when there are more than its sockets can hold, as when one ended that never began.
fn in_flight(record: &EdgeRecord) -> Option<u64> {
    /// Sockets and rounds are not read in one instant.
    const SLACK: u64 = 64;
    /// What a round of a sampled socket weighs at most.
    const MAX_WEIGHT: u64 = 64;
    let sockets = gauge(record.attached, record.detached);
    let in_flight = InFlight::count(record.in_flight);
    (in_flight <= MAX_WEIGHT * sockets + SLACK).then_some(in_flight)
}

/// Threads that have used an edge of late.
fn threads(record: &EdgeRecord, now_ns: u64) -> u32 {
    let age = (now_ns >> THREADS_EXPONENT).saturating_sub(record.threads_epoch);
    if age <= 1 { (record.threads[0] | record.threads[1]).count_ones() } else { 0 }
}

/// An up-down count kept as two that only go up, read without a lock.
fn gauge(up: u64, down: u64) -> u64 {
    let open = up.wrapping_sub(down);
    if open > u64::MAX / 2 { 0 } else { open }
}
