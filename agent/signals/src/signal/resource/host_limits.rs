//! Limits of the host's network stack. Each is one number of a network namespace against one line; what differs is
//! in a table. The subject is the host: of several namespaces the worst one speaks.
//!
//! Where they are blind: which service a dropped packet belonged to.

use std::{borrow::Cow, fmt, marker::PhantomData};

use crate::signal::prelude::*;
use weir_engine::NamespaceView;

/// Shares of what connection tracking and TIME_WAIT may hold: to warn, to be over, and as good as full. Choices. At its limit
/// the kernel drops new connections (`nf_conntrack`: "table full, dropping packet"), or forgets TIME_WAIT at once.
const CONNTRACK_NEAR: f64 = 0.85;
const CONNTRACK_FULL_AT: f64 = 0.95;
const TIME_WAIT_NEAR: f64 = 0.8;
const CLEAR: f64 = 0.75;
/// Fewer datagrams are an accident: ten in ten seconds. A choice.
const MIN_DATAGRAMS: u64 = 5;

/// What a namespace says of one of them.
#[derive(Debug)]
pub(crate) struct Reading {
    /// Sockets of the namespace.
    sockets: u64,
    finding: Finding,
    /// How much, against the most that is well; and of how many.
    share: Option<(f64, f64)>,
    /// What went wrong, by its name, unit and number; the first is what is said where there is no share.
    counts: [(&'static str, &'static str, u64); 2],
    /// "of the 1000 ... are in use".
    phrase: String,
    /// What is seen of that which it is not.
    not: u64,
}

/// One of the limits: what it reads of a namespace, and what it says.
pub(crate) trait Limit: fmt::Debug + Default {
    /// Where to look: what it is, and the command.
    const LOOK: (&'static str, &'static str, &'static str);
    /// What it costs.
    const WHY: &'static str;
    /// What it is not.
    const NOT: (&'static str, &'static str);

    fn read(namespace: &NamespaceView) -> Option<Reading>;
}

/// Connection tracking is full of connections, and drops their packets.
#[derive(Debug, Default)]
pub(crate) struct Conntrack;

impl Limit for Conntrack {
    const LOOK: (&'static str, &'static str, &'static str) =
        ("connections opened, and nf_conntrack_max, in", "/proc/sys/net/netfilter", "conntrack -S; conntrack -C");
    const WHY: &'static str = "are left: beyond them each new connection's packets are dropped, old ones go on";
    const NOT: (&'static str, &'static str) = ("established connections", "of them were evicted");

    fn read(namespace: &NamespaceView) -> Option<Reading> {
        let poll = namespace.conntrack.filter(|poll| poll.max > 0)?;
        let share = poll.count as f64 / poll.max as f64;
        let is_full = poll.dropped > 0 || poll.count >= poll.max;
        let finding = if is_full && share >= CONNTRACK_NEAR {
            Finding::Proven(Severity::of(Level::Critical, Some(Resource::Limit), Some(Effect::Refused)))
        } else if poll.dropped > 0 || share >= CONNTRACK_NEAR {
            // Not full.
            Finding::Raise(Severity::of(Level::Critical, Some(Resource::Limit), None))
        } else if share < CLEAR {
            Finding::Clear
        } else {
            Finding::Between
        };
        let nearly = if share >= CONNTRACK_FULL_AT { " (nearly all)" } else { "" };
        let phrase = format!("of the {} entries of the connection tracking table are in use{nearly}", poll.max);
        let counts =
            [("dropped", "packets", poll.dropped), ("left", "connections", poll.max.saturating_sub(poll.count))];
        Some(Reading {
            sockets: sockets(namespace),
            finding,
            share: Some((share, CONNTRACK_NEAR)),
            counts,
            phrase,
            not: poll.early_drop,
        })
    }
}

/// Many sockets in TIME_WAIT are well: only at their limit is something lost.
#[derive(Debug, Default)]
pub(crate) struct TimeWait;

impl Limit for TimeWait {
    const LOOK: (&'static str, &'static str, &'static str) =
        ("connections that are not reused, counted in", "/proc/net/sockstat", "ss -tan state time-wait");
    const WHY: &'static str = "are left until closed connections are forgotten before their last packets are gone";
    const NOT: (&'static str, &'static str) = ("open connections", "are in use");

    fn read(namespace: &NamespaceView) -> Option<Reading> {
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
        let phrase = format!("of the {limit} sockets that tcp_max_tw_buckets allows are in TIME_WAIT");
        Some(Reading {
            sockets: sockets(namespace),
            finding,
            share: Some((share, TIME_WAIT_NEAR)),
            counts,
            phrase,
            not: namespace.in_use,
        })
    }
}

/// Queues cut or segments dropped in a window, that one slow reader does not explain. A choice.
const MIN_CUT: u64 = 100;

/// TCP had to do with less memory.
#[derive(Debug, Default)]
pub(crate) struct TcpMemory;

impl Limit for TcpMemory {
    const LOOK: (&'static str, &'static str, &'static str) =
        ("tcp_mem, tcp_rmem and slow readers; counters in", "/proc/net/netstat", "ss -tm; cat /proc/net/sockstat");
    const WHY: &'static str = "are retransmitted, or wait: the kernel has no memory to keep them";
    const NOT: (&'static str, &'static str) = ("full accept queues", "overflowed");

    fn read(namespace: &NamespaceView) -> Option<Reading> {
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
        Some(Reading {
            sockets: sockets(namespace),
            finding,
            share: None,
            counts,
            phrase,
            not: namespace.counters.listen_overflows,
        })
    }
}

/// Datagrams came faster than they were read.
#[derive(Debug, Default)]
pub(crate) struct UdpQueue;

impl Limit for UdpQueue {
    const LOOK: (&'static str, &'static str, &'static str) =
        ("readers and receive buffers (Recv-Q), counted in", "/proc/net/snmp", "ss -uanp");
    const WHY: &'static str =
        "are lost, as a rule questions to or answers of a name server, and asked again seconds later";
    const NOT: (&'static str, &'static str) = ("full accept queues", "overflowed");

    fn read(namespace: &NamespaceView) -> Option<Reading> {
        let n = namespace.counters.udp_receive_errors;
        let finding = match n {
            0 => Finding::Clear,
            n if n >= MIN_DATAGRAMS => Finding::Raise(Severity::Warn),
            _ => Finding::Between,
        };
        let counts = [("not read in time", "datagrams", n), ("UDP RcvbufErrors", "times", n)];
        let phrase = "were dropped: the receive buffer of their socket was full".to_owned();
        Some(Reading {
            sockets: sockets(namespace),
            finding,
            share: None,
            counts,
            phrase,
            not: namespace.counters.listen_overflows,
        })
    }
}

/// The signal of a limit.
#[derive(Debug, Default)]
pub(crate) struct HostLimit<L>(PhantomData<L>);

fn sockets(namespace: &NamespaceView) -> u64 {
    namespace.in_use.saturating_add(namespace.time_wait).max(1)
}

impl<L: Limit> Detector for HostLimit<L> {
    const LIMIT: usize = 1;

    /// Nothing.
    type Memory = ();
    type Input<'f> = Reading;
    type Reading<'f> = Reading;

    fn gather<'f>(&mut self, facts: &'f Facts<'f>, _: &Subjects<()>) -> Inputs<'f, Reading> {
        let readings = facts.snapshot.host.namespaces.iter().filter_map(L::read);
        let worst = readings.max_by(|a, b| a.badness().total_cmp(&b.badness()));
        worst.into_iter().map(|reading| (Cow::Owned(Subject::host()), reading)).collect()
    }

    fn read<'f>(&self, reading: Reading, _: &mut (), _: &'f Facts<'f>) -> Option<Reading> {
        Some(reading)
    }

    fn verdict(&self, reading: &Reading, _: Rules) -> Finding {
        reading.finding
    }

    fn report(&self, subject: &Subject, reading: &Reading, window_ns: u64) -> Result<Report, Defect> {
        report::<L>(subject, reading, window_ns)
    }
}

impl Reading {
    fn badness(&self) -> f64 {
        let raised = self.finding.raised().map_or(0.0, |severity| 1.0 + severity.level() as u32 as f64);
        let size = self.share.map_or(self.counts[0].2 as f64, |(share, _)| share);
        raised * 1e6 + size
    }
}

fn report<L: Limit>(subject: &Subject, reading: &Reading, window_ns: u64) -> Result<Report, Defect> {
    let [first, second] = reading.counts;
    let sample = |n: u64| Sample { window_ns, n };
    let counted = sample(first.2.max(1)).expected(first.0, first.2 as f64, Measure::Count(first.1), 0.0)?;
    let also = sample(second.2.max(1)).evidence(second.0, second.2 as f64, Measure::Count(second.1))?;
    let of_all = sample(reading.sockets);
    let (what, third) = match reading.share {
        Some((share, most)) => {
            let taken = of_all.at_most("taken", share, Measure::Ratio, most)?;
            (What::new(&taken, &reading.phrase)?, taken)
        }
        None => {
            let sockets = Measure::Count("sockets");
            let all = of_all.evidence("TCP sockets", reading.sockets as f64, sockets)?;
            (What::new(&counted, &reading.phrase)?, all)
        }
    };
    // Where there is a limit, what is left of it; else what was lost.
    let is_left = reading.share.is_some() || second.2 > 0;
    let cost = if is_left { &also } else { &counted };
    let (phrase, file, command) = L::LOOK;
    let (cause, words) = L::NOT;
    Parts {
        class: None,
        what,
        place: Where::new(phrase, &Place::File(file.into()), command)?,
        why: Why::new(cost.quantity(), L::WHY)?,
        evidence: [counted, also, third],
        more: Vec::new(),
        origin: Origin::new(subject, Confidence::new(0.9)?)?,
        ruled_out: vec![RuledOut::new(cause, count(reading.not as f64, "connections")?, words)?],
        confidence: 0.9,
    }
    .report()
}

#[cfg(test)]
mod tests;
