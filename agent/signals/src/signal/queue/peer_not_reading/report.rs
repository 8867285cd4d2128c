//! The report of an end that does not read what is sent to it.

use super::reading::{Class, HELD_UP, Reading};
use crate::signal::prelude::*;

pub(super) fn report(subject: &Subject, reading: &Reading, window_ns: u64) -> Result<Report, Defect> {
    let (held, normal) = (&reading.held, reading.normal.ok_or(Defect::NoBaseline)?);
    let worst = held.worst.as_ref().ok_or(Defect::NoSample)?;
    let sample = Sample { window_ns, n: held.seen };
    let connections = Measure::Count("connections");
    let held_up = sample.learned("held up", held.connections, connections, normal)?;
    let share = sample.at_most("of the time to send, held up", held.share(), Measure::Ratio, HELD_UP)?;
    let queued = sample.evidence("waits to be sent", held.queued_bytes as f64, Measure::Bytes)?;
    let taken = sample.evidence("taken by the receiver", held.acked_bytes_per_s, Measure::Rate("bytes/s"))?;
    let open = sample.evidence("open", reading.connections as f64, connections)?;
    let why = match held.wait_s() {
        Some(wait_s) => Why::new(
            Quantity::new(wait_s, Measure::Seconds)?,
            "until data written now is read, at the present rate; the writer is blocked",
        )?,
        None => Why::new(queued.quantity(), "wait, and nothing was read in the window; the writer is blocked")?,
    };
    // On the receiver's side what it has not read is in the column Recv-Q.
    let (which, receiver) = match reading.class() {
        Class::Client => ("dport", caller(subject)),
        Class::Server => ("sport", callee(subject)),
    };
    let command = worst.server_port.map_or_else(|| "ss -tnp".into(), |port| format!("ss -tnp '{which} = :{port}'"));
    let again = Quantity::new(held.retransmitted().share(), Measure::Ratio)?;
    Parts {
        class: Some(reading.class().name()),
        what: What::new(&held_up, "have data to send, and the receiver's window is closed")?,
        place: Where::new("the unread data (Recv-Q) of", &worst.reader, &command)?,
        why,
        evidence: [held_up, share, queued],
        more: vec![taken, open],
        origin: Origin::new(&receiver, Confidence::new(0.85)?)?,
        ruled_out: vec![RuledOut::new("lost packets", again, "of segments retransmitted")?],
        confidence: 0.9,
    }
    .report()
}
