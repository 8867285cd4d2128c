//! Connects to another host succeed only after their SYN was retransmitted.
//!
//! The first retransmission comes after one second (RFC 6298, 2.1; `TCP_TIMEOUT_INIT`), so a connect of a second or more on a path
//! whose handshakes take milliseconds has lost a SYN or its answer: on the way, at a firewall's or a load balancer's limit, or at a
//! listener of the far host whose queue is full. Callers see a call that is a second slow now and then, and no error.
//!
//! It raises when at least 2% of 20 connects or more took so long with 95% confidence, and five did; it is over below 0.5%. It
//! never pages: a ticket, as nothing on this host is full.
//!
//! Where it is blind: servers on this host, whose listeners `listen_overflow` judges; paths whose handshakes take half a second by
//! themselves; clients that give up within the second, whose connects fail (`edge_errors`).

use crate::signal::{ends::Ends as Look, prelude::*};
use weir_engine::{Distribution, bounds_s};

/// A connect that took so long has retransmitted its SYN: the initial timeout of one second, less a bucket's width.
const RETRANSMITTED_S: f64 = 0.9;
/// Shares of connects: to raise, to be over; and how many at least. Choices, as those of `edge_errors`.
const RAISE: f64 = 0.02;
const CLEAR: f64 = 0.005;
const LEAST: u64 = 5;
/// Where half of the handshakes take so long, a second says nothing. A choice: half the timeout.
const SLOW_PATH_S: f64 = 0.5;

/// The signal.
#[derive(Debug, Default)]
pub(crate) struct SlowConnect;

impl Detector for SlowConnect {
    /// Edges, some 100 bytes each.
    const LIMIT: usize = 8192;
    /// Nothing is compared with what was.
    const ONLY_SUSPECTS: bool = true;

    type Memory = ();
    type Input<'f> = Reading<'f>;
    type Reading<'f> = Reading<'f>;

    fn gather<'f>(&mut self, facts: &'f Facts<'f>, _: &Subjects<()>) -> Inputs<'f, Reading<'f>> {
        let pairs = facts.by_pair().into_iter();
        let away = pairs.filter(|(_, edges)| edges.iter().all(|facts| facts.server().is_none()));
        away.map(|(subject, edges)| (subject, Reading::of(edges))).collect()
    }

    fn is_notable(reading: &Reading<'_>) -> bool {
        reading.slow.hits > 0
    }

    fn read<'f>(&self, reading: Reading<'f>, _: &mut (), _: &'f Facts<'f>) -> Option<Reading<'f>> {
        (reading.slow.events >= MIN_EVENTS).then_some(reading)
    }

    fn verdict(&self, reading: &Reading<'_>, rules: Rules) -> Finding {
        let is_near = reading.connects.quantile_s(0.5).is_some_and(|median_s| median_s < SLOW_PATH_S);
        if is_near && reading.slow.hits >= LEAST && rules.least(reading.slow) >= RAISE {
            return Finding::Raise(Severity::of(Level::Warn, None, Some(Effect::LatencyUp)));
        }
        if reading.slow.share() < CLEAR { Finding::Clear } else { Finding::Between }
    }

    fn report(&self, subject: &Subject, reading: &Reading<'_>, window_ns: u64) -> Result<Report, Defect> {
        report(subject, reading, window_ns)
    }
}

/// The connects of an edge in a window.
#[derive(Debug)]
pub(crate) struct Reading<'a> {
    /// Those that took a retransmitted SYN, of those that succeeded.
    slow: Proportion,
    failed: u64,
    connects: Distribution,
    look: Look<'a>,
}

impl<'a> Reading<'a> {
    fn of(edges: &[EdgeFacts<'a>]) -> Self {
        let (mut connects, mut failed, mut look) = (Distribution::default(), 0u64, Look::default());
        for facts in edges {
            let Some(view) = facts.client() else { continue };
            connects.merge(&view.connect_latency);
            failed = failed.saturating_add(view.failed_connects());
            look.look(facts.edge, slow(&view.connect_latency));
        }
        Self { slow: Proportion::new(slow(&connects), connects.count), failed, connects, look }
    }
}

fn slow(connects: &Distribution) -> u64 {
    let slow = connects.buckets().filter(|(bucket, _)| bounds_s(*bucket).1 > RETRANSMITTED_S);
    slow.fold(0, |sum: u64, (_, n)| sum.saturating_add(n.into()))
}

fn report(subject: &Subject, reading: &Reading<'_>, window_ns: u64) -> Result<Report, Defect> {
    let Reading { slow, failed, connects, look } = reading;
    let sample = Sample { window_ns, n: slow.events };
    let share = sample.expected("SYN retransmitted", slow.share(), Measure::Ratio, 0.0)?;
    let p99 = sample.evidence("connect latency, p99", connects.quantile_s(0.99).unwrap_or(0.0), Measure::Seconds)?;
    let median_s = connects.quantile_s(0.5).unwrap_or(0.0);
    let median = sample.evidence("connect latency, median", median_s, Measure::Seconds)?;
    let place = look.address.map_or_else(|| Place::File(callee(subject)), Place::Address);
    let rate = Quantity::new(slow.hits as f64 / (window_ns.max(1) as f64 / 1e9), Measure::Rate("calls/s"))?;
    Parts {
        class: None,
        what: What::new(&share, "of connects succeeded only after their SYN was retransmitted")?,
        place: Where::new("the path to, and the listener at,", &place, "nstat -az TcpExtTCPSynRetrans; ss -tni")?,
        why: Why::new(rate, "wait one second or more before they can begin")?,
        origin: Origin::new(&format!("the path to {}", callee(subject)), Confidence::new(0.6)?)?,
        evidence: [share, p99, median],
        more: Vec::new(),
        ruled_out: vec![
            RuledOut::new("a long path", Quantity::new(median_s, Measure::Seconds)?, "is the median connect latency")?,
            RuledOut::new("a service that is down", count(*failed as f64, "connects")?, "failed")?,
        ],
        confidence: 0.8,
    }
    .report()
}

#[cfg(test)]
mod tests {
    use weir_abi::{ConnectOutcome, EdgeRecord};
    use weir_ebpf::histogram::index;

    use crate::{
        incident::decisions::Happened,
        lab::{Lab, MS, client, connect, server},
        report::alert::MAX_TEXT,
    };

    /// `n` connects that took so long.
    fn connects(record: &mut EdgeRecord, n: u32, took_ns: u64) {
        connect(record, ConnectOutcome::Ok, n.into());
        record.connect_latency.buckets[index(took_ns)] += n;
        record.connect_latency.sum_ns += u64::from(n) * took_ns;
    }

    /// Ten connects a second, so many of which take that long, for half a minute.
    fn run(records: Vec<EdgeRecord>, slow: u32, took_ns: u64) -> Lab {
        let mut lab = Lab::new(records).only("slow_connect");
        lab.run(30, |_, records| {
            let (_, caller) = &mut records[0];
            connects(caller, 10 - slow, 2 * MS);
            connects(caller, slow, took_ns);
        });
        lab
    }

    #[test]
    fn a_lost_syn_in_five_is_a_ticket_that_says_what_it_costs() {
        let lab = run(vec![client(7, 2)], 2, 1010 * MS);
        assert_eq!(lab.decider.incidents().lost(), Default::default(), "nothing rejected");
        assert_eq!(lab.happened(), [(10, Happened::Raised)]);
        let alert = &lab.events[0].1.alert;
        let document = alert.document();
        assert_eq!((document.severity, document.class), ("warn", None));
        let text = alert.text();
        assert!(text.contains("20% of connects succeeded only after their SYN was retransmitted"), "{text}");
        assert!(text.contains("2 calls/s wait one second or more") && text.chars().count() <= MAX_TEXT, "{text}");
    }

    #[test]
    fn healthy_look_alikes_are_silent() {
        // One in a hundred is a stray, a far path has no second to lose, and a server of this host has a signal of its own.
        let mut stray = Lab::new([client(7, 2)]).only("slow_connect");
        stray.run(30, |second, records| {
            connects(&mut records[0].1, 10, 2 * MS);
            connects(&mut records[0].1, u32::from(second % 10 == 0), 1010 * MS);
        });
        assert_eq!(stray.happened(), []);
        let mut far = Lab::new([client(7, 2)]).only("slow_connect");
        far.run(30, |_, records| connects(&mut records[0].1, 10, 950 * MS));
        assert_eq!(far.happened(), []);
        let caller = client(7, 2);
        let mut callee = server(8, &caller);
        connect(&mut callee, ConnectOutcome::Ok, 1);
        assert_eq!(run(vec![caller, callee], 2, 1010 * MS).happened(), []);
        assert_eq!(run(vec![client(7, 2)], 2, 300 * MS).happened(), []);
    }
}
