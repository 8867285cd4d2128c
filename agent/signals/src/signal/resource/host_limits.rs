//! R3 to R6: limits of the host's network stack. Each is one number of a network namespace against one line; what differs is
//! in a table. The unit is the host: of several namespaces the worst one speaks.
//!
//! Where they are blind: whom a packet that was dropped belonged to.

use crate::{
    evaluate::{Evaluator, Judge},
    finding::Finding,
    incident::{
        alarm::Rule,
        severity::{Effect, Level, Resource, Severity},
    },
    report::{
        Report,
        contract::{Confidence, Defect, Origin, Place, RuledOut, What, Where, Why},
        evidence::{Compared, Evidence},
        quantity::{Measure, Quantity},
    },
    subject::Subject,
    table::Signal,
    trust::Trust,
    window::Window,
};
use weir_engine::NamespaceView;

/// Its row: connection tracking has no room for new connections, and drops their packets.
pub(crate) const CONNTRACK_FULL: Signal = Signal {
    name: "conntrack_full",
    says: "connection tracking has no room for new connections, or soon will not have",
    rule: Rule::USUAL,
    minds_changes: false,
};
/// Many sockets in TIME_WAIT are well: only at their limit is something lost.
pub(crate) const TIME_WAIT: Signal = Signal {
    name: "time_wait",
    says: "closed connections are as many as the kernel remembers: it forgets others too early",
    rule: Rule::USUAL,
    minds_changes: false,
};
/// TCP had to do with less memory.
pub(crate) const TCP_MEMORY: Signal = Signal {
    name: "tcp_memory",
    says: "sockets' memory is scarce: the kernel cuts queues and drops segments",
    rule: Rule::USUAL,
    minds_changes: false,
};
/// Datagrams came faster than they were read.
pub(crate) const UDP_QUEUE: Signal = Signal {
    name: "udp_queue",
    says: "datagrams are dropped because nobody reads them in time",
    rule: Rule::USUAL,
    minds_changes: false,
};

/// Shares of what connection tracking and TIME_WAIT may hold: to warn, to be over, and as good as full.
const CONNTRACK_NEAR: f64 = 0.85;
const CONNTRACK_FULL_AT: f64 = 0.95;
const TIME_WAIT_NEAR: f64 = 0.8;
const CLEAR: f64 = 0.75;
/// Fewer datagrams are an accident: ten in ten seconds.
const MIN_DATAGRAMS: u64 = 5;

/// What a namespace says of one of them.
#[derive(Debug)]
struct Reading {
    finding: Finding,
    /// How much, against the most that is well; and of how many.
    share: Option<(f64, f64)>,
    /// What went wrong, by its name, unit and number; the first is what is said where there is no share.
    counts: [(&'static str, &'static str, u64); 2],
    /// "of 1000 ... are taken".
    phrase: String,
}

/// A signal's evaluator.
#[derive(Debug)]
pub(crate) struct HostLimit {
    signal: &'static Signal,
    read: fn(&NamespaceView) -> Option<Reading>,
    /// Where to look: what it is, and the command. What it costs. What it is not.
    look: (&'static str, &'static str, &'static str),
    why: &'static str,
    not: (&'static str, &'static str),
}

impl HostLimit {
    /// Connection tracking.
    pub(crate) fn conntrack() -> Self {
        Self {
            signal: &CONNTRACK_FULL,
            read: conntrack,
            look: (
                "who opens so many, or nf_conntrack_max, in",
                "/proc/sys/net/netfilter",
                "conntrack -S; conntrack -C",
            ),
            why: "are left: beyond them each new connection's packets are dropped, old ones go on",
            not: ("established connections", "of them were forgotten to make room"),
        }
    }

    /// TIME_WAIT.
    pub(crate) fn time_wait() -> Self {
        Self {
            signal: &TIME_WAIT,
            read: time_wait,
            look: ("connections that are not reused, counted in", "/proc/net/sockstat", "ss -tan state time-wait"),
            why: "are left until closed connections are forgotten before their last packets are gone",
            not: ("open connections", "are in use"),
        }
    }

    /// TCP's memory.
    pub(crate) fn tcp_memory() -> Self {
        Self {
            signal: &TCP_MEMORY,
            read: tcp_memory,
            look: (
                "tcp_mem, tcp_rmem and slow readers; counters in",
                "/proc/net/netstat",
                "ss -tm; cat /proc/net/sockstat",
            ),
            why: "are sent again, or wait: the kernel has no memory to keep them",
            not: ("full accept queues", "overflowed"),
        }
    }

    /// UDP's receive buffers.
    pub(crate) fn udp_queue() -> Self {
        Self {
            signal: &UDP_QUEUE,
            read: udp_queue,
            look: ("readers and receive buffers (Recv-Q), counted in", "/proc/net/snmp", "ss -uanp"),
            why: "are lost, as a rule questions to or answers of a name server, and asked again seconds later",
            not: ("full accept queues", "overflowed"),
        }
    }
}

fn conntrack(namespace: &NamespaceView) -> Option<Reading> {
    let poll = namespace.conntrack.filter(|poll| poll.max > 0)?;
    let share = poll.count as f64 / poll.max as f64;
    let is_full = poll.dropped > 0 || poll.count >= poll.max;
    let finding = if is_full && share >= CONNTRACK_NEAR {
        Finding::Proven(Severity::of(Level::Critical, Some(Resource::Limit), Some(Effect::Refused)))
    } else if poll.dropped > 0 || share >= CONNTRACK_NEAR {
        // Nobody is hurt yet.
        Finding::Raise(Severity::of(Level::Critical, Some(Resource::Limit), None))
    } else if share < CLEAR {
        Finding::Clear
    } else {
        Finding::Between
    };
    let nearly = if share >= CONNTRACK_FULL_AT { " (nearly all)" } else { "" };
    let phrase = format!("of the {} connections that can be tracked are{nearly}", poll.max);
    let counts = [("dropped", "packets", poll.dropped), ("left", "connections", poll.max.saturating_sub(poll.count))];
    Some(Reading { finding, share: Some((share, CONNTRACK_NEAR)), counts, phrase })
}

fn time_wait(namespace: &NamespaceView) -> Option<Reading> {
    let limit = namespace.ports.as_ref().map(|ports| ports.time_wait_limit).filter(|limit| *limit > 0)?;
    let share = namespace.time_wait as f64 / limit as f64;
    let overflow = namespace.counters.time_wait_overflow;
    let finding = if overflow > 0 || share >= TIME_WAIT_NEAR {
        Finding::Raise(Severity::Warn)
    } else if share < CLEAR {
        Finding::Clear
    } else {
        Finding::Between
    };
    let counts =
        [("beyond the limit", "sockets", overflow), ("left", "sockets", limit.saturating_sub(namespace.time_wait))];
    let phrase = format!("of the {limit} sockets that TIME_WAIT may have are in it");
    Some(Reading { finding, share: Some((share, TIME_WAIT_NEAR)), counts, phrase })
}

/// Queues cut or segments dropped in a window, that one slow reader does not explain.
const MIN_CUT: u64 = 100;

fn tcp_memory(namespace: &NamespaceView) -> Option<Reading> {
    let counters = &namespace.counters;
    let dropped = counters.receive_queue_drops.saturating_add(counters.backlog_drops);
    let scarce = counters.memory_pressures.saturating_add(counters.prune_called);
    // A single slow reader has its own queue cut; that all sockets together have too much is the host's.
    let finding = match (counters.memory_pressures, dropped.max(scarce)) {
        (1.., _) | (_, MIN_CUT..) => Finding::Raise(Severity::Warn),
        (_, 0) => Finding::Clear,
        _ => Finding::Between,
    };
    let counts = [("cut for want of memory", "queues", scarce), ("dropped", "segments", dropped)];
    let phrase = format!("were cut for want of memory, {dropped} segments dropped");
    Some(Reading { finding, share: None, counts, phrase })
}

fn udp_queue(namespace: &NamespaceView) -> Option<Reading> {
    let n = namespace.counters.udp_receive_errors;
    let finding = match n {
        0 => Finding::Clear,
        n if n >= MIN_DATAGRAMS => Finding::Raise(Severity::Warn),
        _ => Finding::Between,
    };
    let counts = [("not read in time", "datagrams", n), ("UDP RcvbufErrors", "times", n)];
    let phrase = "were dropped: the receive buffer of their socket was full".to_owned();
    Some(Reading { finding, share: None, counts, phrase })
}

impl Evaluator for HostLimit {
    fn signal(&self) -> &'static Signal {
        self.signal
    }

    /// Every namespace that was polled has room.
    fn over_limit(&self) -> u64 {
        0
    }

    fn evaluate(&mut self, window: &Window<'_>, judge: &mut Judge<'_>) {
        let read =
            window.snapshot.host.namespaces.iter().filter_map(|namespace| Some((namespace, (self.read)(namespace)?)));
        let worst = read.max_by(|(_, a), (_, b)| a.badness().total_cmp(&b.badness()));
        let Some((namespace, reading)) = worst else { return };
        let unit = Subject::host();
        judge.judge(&unit, reading.finding, Trust::Unchecked, || {
            self.report(&unit, namespace, &reading, window.snapshot.window_ns)
        });
    }
}

impl Reading {
    fn badness(&self) -> f64 {
        let raised = self.finding.raised().map_or(0.0, |severity| 1.0 + severity.level() as u32 as f64);
        let size = self.share.map_or(self.counts[0].2 as f64, |(share, _)| share);
        raised * 1e6 + size
    }
}

impl HostLimit {
    fn report(
        &self,
        unit: &Subject,
        namespace: &NamespaceView,
        reading: &Reading,
        window_ns: u64,
    ) -> Result<Report, Defect> {
        let [first, second] = reading.counts;
        let sockets = namespace.in_use.saturating_add(namespace.time_wait).max(1);
        let count = |(name, of, value): (&'static str, &'static str, u64), compared| {
            let quantity = Quantity::new(value as f64, Measure::Count(of))?;
            Evidence::new(name, quantity, compared, window_ns, value.max(1))
        };
        let counted = count(first, Some(Compared::Expected(0.0)))?;
        let also = count(second, None)?;
        let (what, third) = match reading.share {
            Some((share, most)) => {
                let share = Quantity::new(share, Measure::Ratio)?;
                let share = Evidence::new("taken", share, Some(Compared::AtMost(most)), window_ns, sockets)?;
                (What::new(&share, &reading.phrase)?, share)
            }
            None => {
                let all = Quantity::new(sockets as f64, Measure::Count("sockets"))?;
                let all = Evidence::new("TCP sockets", all, None, window_ns, sockets)?;
                (What::new(&counted, &reading.phrase)?, all)
            }
        };
        let (phrase, file, command) = self.look;
        let place = Where::new(phrase, &Place::File(file.into()), command)?;
        // Where there is a limit, what is left of it; else what was lost.
        let cost = if reading.share.is_some() { second } else { [second, first][usize::from(second.2 == 0)] };
        let why = Why::new(Quantity::new(cost.2 as f64, Measure::Count(cost.1))?, self.why)?;
        let (cause, words) = self.not;
        let seen = match self.signal.name {
            "conntrack_full" => namespace.conntrack.map_or(0, |poll| poll.early_drop),
            "time_wait" => namespace.in_use,
            _ => namespace.counters.listen_overflows,
        };
        let not = RuledOut::new(cause, Quantity::new(seen as f64, Measure::Count("connections"))?, words)?;
        let sure = Confidence::new(0.9)?;
        Report::new(None, what, place, why, [counted, also, third], Origin::new(unit, sure)?, not, sure)
    }
}

#[cfg(test)]
mod tests;
