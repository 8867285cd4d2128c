//! One end's view of an edge in a window: the difference of two cumulative records.

use weir_abi::{ConnectOutcome, EdgeRecord, IDLE_BUCKETS, InFlight, SocketError, THREADS_EXPONENT};

use crate::edge::{
    counts::Counts,
    distribution::{Distribution, bounds_s, middle_s},
};

/// Declares `View`, and with each field what must not be forgotten of it: how the views of two processes are put together
/// (`merge`), and whether it is `activity`, so that an edge on which it is not zero is shown, or a `detail` of such. How the two
/// readings of a window make a field is in `View::between`, whose literal is complete or does not compile.
macro_rules! view {
    ($($(#[$doc:meta])* $role:ident $name:ident: $type:ty, merge: $merge:path;)*) => {
        /// One end's view. Counters are of the window; `open_connections` and `in_flight` are as of its end.
        #[derive(Clone, Debug, PartialEq)]
        pub struct View {
            $($(#[$doc])* pub $name: $type,)*
        }

        impl View {
            /// Adds another process's view of the same edge.
            pub fn merge(&mut self, other: &Self) {
                $($merge(&mut self.$name, &other.$name);)*
            }

            /// Whether nothing happened and nothing is open.
            pub fn is_silent(&self) -> bool {
                true $(&& view!(@silent $role, self.$name, $type))*
            }
        }
    };
    (@silent activity, $value:expr, $type:ty) => { $value == <$type>::default() };
    (@silent detail, $value:expr, $type:ty) => { true };
}

view! {
    /// Connects by outcome; a server's accepted connections are under `Ok`.
    activity connects: Counts<ConnectOutcome>, merge: Counts::merge;
    /// Of the timeouts: those where the caller closed the socket first.
    detail timeout_by_caller: u64, merge: add;
    /// Established connections, now.
    activity open_connections: u64, merge: add;
    /// Connections closed.
    activity closed: u64, merge: add;
    /// Connections first seen in mid-life, of those ever open here.
    detail partial: u64, merge: add;
    /// Rounds answered.
    activity rounds: u64, merge: add;
    /// Requests waiting for an answer, now.
    activity in_flight: u64, merge: add;
    /// How long they have been waiting, summed over all of them, to a millisecond each.
    detail in_flight_age_ns: u64, merge: add_ns;
    /// Rounds ended by this end's close before an answer.
    activity abandoned: u64, merge: add;
    /// Rounds ended by the far end's close before an answer.
    activity broken: u64, merge: add;
    /// Rounds whose end was not observed, because the sample of followed sockets changed.
    activity unobserved: u64, merge: add;
    /// Time that those three took, nanoseconds.
    detail unanswered_ns: u64, merge: add_ns;
    /// Requests that were already waiting when the window began.
    detail in_flight_before: u64, merge: add;
    /// Time integral of rounds in flight over the window.
    detail in_flight_ns: u64, merge: add_ns;
    /// Some connections carry overlapping requests.
    detail multiplexed: bool, merge: either;
    /// Some connections carry data that answers no request.
    detail push: bool, merge: either;
    /// Sampled requests, and those that held several at once.
    detail pipelined: (u64, u64), merge: add_both;
    /// Payload bytes sent by this end.
    activity bytes_sent: u64, merge: add;
    /// Payload bytes received by this end.
    activity bytes_received: u64, merge: add;
    /// Segments that this end retransmitted.
    activity retransmitted_segments: u64, merge: add;
    /// Resets sent by this end.
    activity resets_sent: u64, merge: add;
    /// Resets received by this end.
    activity resets_received: u64, merge: add;
    /// Errors of established connections.
    detail errors: Counts<SocketError>, merge: Counts::merge;
    /// Client: requests by how long their connection had lain idle, sent by the thread that sent the one before.
    detail reused_by_same_thread: [u32; IDLE_BUCKETS], merge: add_each;
    /// Client: those sent by another thread.
    detail reused_by_other_thread: [u32; IDLE_BUCKETS], merge: add_each;
    /// Client: threads that have sent requests in the last 4 to 9 seconds, up to 64.
    detail threads: u32, merge: add_threads;
    /// Connections that the server ended at once after its first words, and that the other end than this had left first.
    detail closed_early: u64, merge: add;
    /// The same after a few rounds.
    detail closed_after_login: u64, merge: add;
    /// Smoothed round-trip time of the connection that last moved data, microseconds; 0 if never sampled.
    detail srtt_us: u32, merge: largest;
    /// Client: time to first byte. Server: service time.
    detail latency: Distribution, merge: Distribution::merge;
    /// Whole rounds.
    detail full_latency: Distribution, merge: Distribution::merge;
    /// How long data waited for the process to read it.
    detail receive_queue_wait: Distribution, merge: Distribution::merge;
    /// Successful connects.
    detail connect_latency: Distribution, merge: Distribution::merge;
    /// Failed connects.
    detail connect_failed_latency: Distribution, merge: Distribution::merge;
    /// Round trip of the handshake.
    detail handshake: Distribution, merge: Distribution::merge;
}

/// Counters of records wrap, and so do their sums.
fn add(mine: &mut u64, theirs: &u64) {
    *mine = mine.wrapping_add(*theirs);
}

/// Times are differences that were bounded: they do not wrap.
fn add_ns(mine: &mut u64, theirs: &u64) {
    *mine = mine.saturating_add(*theirs);
}

fn add_both(mine: &mut (u64, u64), theirs: &(u64, u64)) {
    add(&mut mine.0, &theirs.0);
    add(&mut mine.1, &theirs.1);
}

fn add_each(mine: &mut [u32; IDLE_BUCKETS], theirs: &[u32; IDLE_BUCKETS]) {
    mine.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine = mine.wrapping_add(*theirs));
}

/// Threads of two processes are different threads.
fn add_threads(mine: &mut u32, theirs: &u32) {
    *mine = mine.saturating_add(*theirs);
}

fn either(mine: &mut bool, theirs: &bool) {
    *mine |= *theirs;
}

fn largest(mine: &mut u32, theirs: &u32) {
    *mine = (*mine).max(*theirs);
}

/// Requests on connections that had been used before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reused {
    /// Sent by the thread that had sent the request before.
    pub by_same_thread: u64,
    /// Of these: within 2.1 ms of the last answer.
    pub by_same_thread_at_once: u64,
    /// Sent by another thread.
    pub by_other_thread: u64,
    /// Of these: within 2.1 ms of the last answer.
    pub by_other_thread_at_once: u64,
}

/// The idle times that count as "at once": all of `IDLE_BUCKETS` that end, up to 2.1 ms (2^21 ns). A choice: a pool with callers
/// waiting passes a connection on within a scheduling delay or two; one without leaves it idle for longer.
const AT_ONCE_BUCKETS: usize = 3;
const _: () = assert!(AT_ONCE_BUCKETS < IDLE_BUCKETS, "the last bucket is open above");

impl View {
    /// Requests overlap on its connections, or data answers no request: rounds are no requests, and their times mislead.
    pub fn overlaps(&self) -> bool {
        self.multiplexed || self.push || self.pipelined.1 > 0
    }

    /// The difference of two readings of one edge at `from_ns` and `to_ns`. `before` is all zeroes for an edge that is
    /// new in the window.
    pub fn between(before: &EdgeRecord, after: &EdgeRecord, from_ns: u64, to_ns: u64) -> Self {
        let d = |f: fn(&EdgeRecord) -> u64| f(after).wrapping_sub(f(before));
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
            connects: Counts::between(before.connects, after.connects),
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
            // A round may end between two words of a reading: a negative difference is zero.
            in_flight_ns: if in_flight.is_none() || integral > i64::MAX as u64 { 0 } else { integral },
            multiplexed: gauge(after.multiplexed_set, after.multiplexed_cleared) > 0 || d(|r| r.multiplexed_set) > 0,
            push: gauge(after.push_set, after.push_cleared) > 0 || d(|r| r.push_set) > 0,
            pipelined: (d(|r| r.pipeline_sampled), d(|r| r.pipeline_repeated)),
            bytes_sent: d(|r| r.bytes_sent),
            bytes_received: d(|r| r.bytes_received),
            retransmitted_segments: d(|r| r.retransmitted_segments),
            resets_sent: d(|r| r.resets_sent),
            resets_received: d(|r| r.resets_received),
            errors: Counts::between(before.errors, after.errors),
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

    /// A view in which nothing happened.
    pub fn nothing() -> Self {
        Self::between(&EdgeRecord::EMPTY, &EdgeRecord::EMPTY, 0, 0)
    }

    /// Connects that did not succeed.
    pub fn failed_connects(&self) -> u64 {
        self.connects.failed()
    }

    /// Requests on connections that had been used before, and how soon after the last answer.
    pub fn reused(&self) -> Reused {
        let sum = |counts: &[u32]| counts.iter().map(|n| u64::from(*n)).sum();
        let (same, other) = (&self.reused_by_same_thread, &self.reused_by_other_thread);
        Reused {
            by_same_thread: sum(same),
            by_same_thread_at_once: sum(&same[..AT_ONCE_BUCKETS]),
            by_other_thread: sum(other),
            by_other_thread_at_once: sum(&other[..AT_ONCE_BUCKETS]),
        }
    }

    /// The time integral of answers that had begun and not ended. One that took longer than the window is counted in the window
    /// in which it ends: half of that window is its share.
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
    /// never ended, or ended with another start than it was opened with, shows as a difference. Of a request cut by the
    /// window's end only a part is in the integral, which is allowed for; of one cut by its beginning the whole is in its
    /// latency, and then the check is not possible.
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

/// Threads that sent requests on an edge in the last two epochs.
fn threads(record: &EdgeRecord, now_ns: u64) -> u32 {
    let age = (now_ns >> THREADS_EXPONENT).saturating_sub(record.threads_epoch);
    if age <= 1 { (record.threads[0] | record.threads[1]).count_ones() } else { 0 }
}

/// An up-down count kept as two that only go up, read without a lock.
fn gauge(up: u64, down: u64) -> u64 {
    let open = up.wrapping_sub(down);
    if open > u64::MAX / 2 { 0 } else { open }
}

/// The self-check of a view's timing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum LittlesLaw {
    /// Counted and timed concurrency agree.
    Holds {
        /// Mean rounds in flight.
        concurrency: f64,
    },
    /// They do not: treat this window's timing with suspicion.
    Broken {
        /// From the in-flight integral.
        counted: f64,
        /// From the latencies.
        timed: f64,
    },
    /// Requests older than the window were answered in it: the check is not possible.
    CutByWindow,
    /// Too few rounds for the check.
    TooFew,
}
