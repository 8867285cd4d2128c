//! A sender is held up, and not by its receiver: by its own buffer, by loss, or by a queue on the path.
//!
//! `info` only: none of it is a fault by itself, and each slows a transfer. Of
//! connections that had something to send for four fifths of the window it says
//!
//! - `send buffer`: for 30% of that time the buffer was too small to keep the path full (`tcpi_sndbuf_limited`);
//! - `loss`: neither buffer nor receiver held them up, and 1% of the segments or more were retransmitted, with 95% confidence;
//! - `queue in path`: the round trip takes three times as long as the shortest lately, and 10 ms longer.
//!
//! Where it is blind: connections between two polls; a queue that has been there for as long as the kernel remembers the
//! shortest round trip (five minutes).

use crate::signal::prelude::*;
use weir_engine::SenderView;

/// The part of the window with something to send. A choice, as are the others: `info` alone, for who reads the list.
const BUSY: f64 = 0.8;
/// The part of that for which the buffer held up.
const BUFFER: f64 = 0.3;
/// Of segments retransmitted, of so many at least; and the part of the time that neither end held up. At 1% loss a
/// Reno-like sender is held to some twelve segments a round trip (Mathis et al., 1997).
const LOSS: f64 = 0.01;
const MIN_SEGMENTS: u64 = 500;
const NEITHER_END: f64 = 0.8;
/// The round trip, times the shortest, and longer than that.
const QUEUE_TIMES: f64 = 3.0;
const QUEUE_S: f64 = 0.010;

classes! {
    /// What holds up.
    enum Class {
        SendBuffer = "send buffer",
        Loss = "loss",
        QueueInPath = "queue in path",
    }
}

/// The signal.
#[derive(Debug, Default)]
pub(crate) struct SendLimited;

impl Detector for SendLimited {
    const CLASSES: &'static [&'static str] = Class::NAMES;
    /// Edges with connections that had more to send than they may.
    const LIMIT: usize = 8192;

    /// Nothing.
    type Memory = ();
    type Input<'f> = Vec<&'f SenderView>;
    type Reading<'f> = Reading<'f>;

    fn gather<'f>(&mut self, facts: &'f Facts<'f>, _: &Subjects<()>) -> Inputs<'f, Self::Input<'f>> {
        grouped(facts.flows.iter().map(|flow| (Subject::of_edge(flow.edge), flow.sender)))
    }

    fn read<'f>(&self, senders: Self::Input<'f>, _: &mut (), _: &'f Facts<'f>) -> Option<Reading<'f>> {
        worst(senders.into_iter().map(Reading::of), Reading::finding)
    }

    fn verdict(&self, reading: &Reading<'_>, _: Rules) -> Finding {
        reading.finding()
    }

    fn report(&self, subject: &Subject, reading: &Reading<'_>, _: u64) -> Result<Report, Defect> {
        report(subject, reading)
    }
}

/// What a window says of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    sender: &'a SenderView,
    /// Of the window, with something to send.
    busy: f64,
    /// Of that, held up by the buffer, and by neither end.
    buffer: f64,
    neither: f64,
    /// Segments retransmitted, of all.
    again: Proportion,
    srtt_s: f64,
    min_rtt_s: f64,
    class: Option<Class>,
}

impl<'a> Reading<'a> {
    fn of(sender: &'a SenderView) -> Self {
        let of_busy = |us: u64| us as f64 / sender.busy_us.max(1) as f64;
        let (buffer, receiver) = (of_busy(sender.buffer_limited_us), of_busy(sender.receiver_limited_us));
        let busy = sender.busy_us as f64 * 1e3 / sender.over_ns.max(1) as f64;
        let again = Proportion::new(sender.retransmitted.into(), sender.segments.into());
        let seconds = |us: u32| f64::from(us) / 1e6;
        let (srtt_s, min_rtt_s) = (seconds(sender.last.srtt_us), seconds(sender.last.min_rtt_us));
        let neither = (1.0 - buffer - receiver).max(0.0);
        let is_queued = min_rtt_s > 0.0 && srtt_s >= QUEUE_TIMES * min_rtt_s && srtt_s - min_rtt_s >= QUEUE_S;
        let class = if busy < BUSY {
            None
        } else if neither >= NEITHER_END && again.events >= MIN_SEGMENTS && again.low() >= LOSS {
            Some(Class::Loss)
        } else if buffer >= BUFFER {
            Some(Class::SendBuffer)
        } else {
            // A receiver that does not read lets the round trip grow too.
            (neither >= NEITHER_END && is_queued).then_some(Class::QueueInPath)
        };
        Self { sender, busy, buffer, neither, again, srtt_s, min_rtt_s, class }
    }

    fn finding(&self) -> Finding {
        if self.class.is_some() { Finding::Raise(Severity::Info) } else { Finding::Clear }
    }
}

fn report(subject: &Subject, reading: &Reading<'_>) -> Result<Report, Defect> {
    let class = reading.class.ok_or(Defect::NoSample)?;
    let sender = reading.sender;
    let sample = Sample { window_ns: sender.over_ns, n: reading.again.events.max(1) };
    let buffer = sample.at_most("held up by the send buffer", reading.buffer, Measure::Ratio, BUFFER)?;
    let again = sample.at_most("segments sent again", reading.again.share(), Measure::Ratio, LOSS)?;
    let trip = sample.learned("round trip", reading.srtt_s, Measure::Seconds, reading.min_rtt_s)?;
    let busy = sample.evidence("of the time with data to send", reading.busy, Measure::Ratio)?;
    let (measured, phrase, look, command) = match class {
        Class::SendBuffer => (
            &buffer,
            "of the time to send, the send buffer was too small to keep the path full",
            "SO_SNDBUF, net.ipv4.tcp_wmem of the sender to",
            "ss -tnmi; sysctl net.ipv4.tcp_wmem",
        ),
        Class::Loss => {
            (&again, "of the segments were lost on the way", "loss on the path to", "ss -tni; ip -s link; tracepath")
        }
        Class::QueueInPath => (
            &trip,
            "for a round trip: segments wait in a queue on the path",
            "a full link or a shaper on the path to",
            "ss -tni; tc -s qdisc; ip -s link",
        ),
    };
    let remote = sender.last.remote;
    let pace = sender.acked_bytes as f64 / (sender.over_ns.max(1) as f64 / 1e9);
    let pace = Quantity::new(pace, Measure::Rate("bytes/s"))?;
    let sure = Confidence::new(0.7)?;
    let receiver = (1.0 - reading.neither - reading.buffer).clamp(0.0, 1.0);
    let receiver = Quantity::new(receiver, Measure::Ratio)?;
    Parts {
        class: Some(class.name()),
        what: What::new(measured, phrase)?,
        place: Where::new(look, &Place::Address(remote), command)?,
        why: Why::new(pace, "is all that gets through; more waits to be sent")?,
        origin: match class {
            Class::SendBuffer => Origin::new(subject, sure)?,
            Class::Loss | Class::QueueInPath => Origin::new(&format!("the path to {remote}"), sure)?,
        },
        evidence: [buffer, again, trip],
        more: vec![busy],
        ruled_out: vec![RuledOut::new("the receiver", receiver, "of the time held up by it")?],
        confidence: 0.7,
    }
    .report()
}

#[cfg(test)]
mod tests {
    use crate::{
        lab::{Lab, client, server},
        report::alert::MAX_TEXT,
    };
    use weir_engine::{NamespacePoll, Polled, Sender, SendersPoll};

    const MIB: u64 = 1 << 20;

    /// A transfer from the server, 10 MiB a second; what is special of it by second.
    fn run(special: impl Fn(&mut Sender, u64)) -> Lab {
        let mut client = client(7, 2);
        let mut server = server(8, &client);
        [&mut client, &mut server].into_iter().for_each(|record| record.opened = 1);
        let mut lab = Lab::new([client, server]).only("send_limited");
        for second in 1..=30 {
            let mut sender = Sender {
                cookie: 1,
                local: "10.0.0.2:6379".parse().expect("an address"),
                remote: "10.0.0.1:40000".parse().expect("an address"),
                queued_bytes: MIB as u32,
                unsent_bytes: 1000,
                acked_bytes: 10 * MIB * second,
                busy_us: 1_000_000 * second,
                receiver_limited_us: 0,
                buffer_limited_us: 0,
                segments: 7000 * second as u32,
                retransmitted: 0,
                srtt_us: 2000,
                min_rtt_us: 1000,
            };
            special(&mut sender, second);
            let namespace = NamespacePoll { netns: 1, ..NamespacePoll::default() };
            let senders = SendersPoll { netns: 1, senders: vec![sender] };
            lab.polls = vec![Polled::Senders(senders), Polled::Namespace(namespace)];
            lab.run(1, |_, _| ());
        }
        lab
    }

    #[test]
    fn each_kind_is_told_for_who_looks() {
        type Special = fn(&mut Sender, u64);
        let kinds: [(&str, Special); 3] = [
            ("send buffer", |sender, second| sender.buffer_limited_us = 400_000 * second),
            ("loss", |sender, second| sender.retransmitted = 140 * second as u32),
            ("queue in path", |sender, _| sender.srtt_us = 90_000),
        ];
        for (class, special) in kinds {
            let lab = run(special);
            assert_eq!(lab.decider.incidents().lost(), Default::default(), "{class}: nothing rejected");
            let (at, event) = lab.events.first().expect(class);
            let document = event.alert.document();
            assert_eq!((*at, document.class, document.severity), (10, Some(class), "info"));
            assert!(event.alert.text().chars().count() <= MAX_TEXT, "{}", event.alert.text());
        }
    }

    #[test]
    fn a_transfer_that_fills_the_path_is_well() {
        assert_eq!(run(|_, _| ()).happened(), []);
        // Held up by the receiver: that is another signal.
        let lab = run(|sender, second| (sender.receiver_limited_us, sender.srtt_us) = (900_000 * second, 90_000));
        assert_eq!(lab.happened(), []);
        // With nothing to send most of the time.
        let lab =
            run(|sender, second| (sender.busy_us, sender.retransmitted) = (500_000 * second, 140 * second as u32));
        assert_eq!(lab.happened(), []);
    }
}
