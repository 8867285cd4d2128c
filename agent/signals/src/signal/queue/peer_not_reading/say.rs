//! What is said of somebody who does not read.

use super::reading::Reading;
use crate::{
    facts::senders::Receiver,
    learn::proportion::Proportion,
    report::{
        Report,
        contract::{Confidence, Defect, Origin, RuledOut, What, Where, Why},
        evidence::{Compared, Evidence},
        quantity::{Measure, Quantity},
    },
    subject::Subject,
};

pub(super) fn report(unit: &Subject, reading: &Reading<'_>, window_ns: u64) -> Result<Report, Defect> {
    let (held, normal) = (reading.held, reading.normal.ok_or(Defect::NoBaseline)?);
    let worst = held.worst.as_ref().ok_or(Defect::NoSample)?;
    let evidence = |name, value: f64, measure, compared: Option<Compared>| {
        Evidence::new(name, Quantity::new(value, measure)?, compared, window_ns, held.seen)
    };
    let connections = Measure::Count("connections");
    let held_up = evidence("held up", held.connections, connections, Some(Compared::Learned(normal)))?;
    let open = evidence("open", reading.connections as f64, connections, None)?;
    let share = evidence("of the time to send, held up", held.share(), Measure::Ratio, Some(Compared::AtMost(0.5)))?;
    let queued = evidence("waits to be sent", held.queued_bytes as f64, Measure::Bytes, None)?;
    let taken = evidence("taken by the receiver", held.acked_bytes_per_s, Measure::Rate("bytes/s"), None)?;
    let what = What::new(&held_up, "have data to send for which the receiver leaves no room")?;
    let why = match held.wait_s() {
        Some(wait_s) => {
            let wait = Quantity::new(wait_s, Measure::Seconds)?;
            Why::new(
                wait,
                "until what is written now arrives, at the pace at which it is read; its writer stands still",
            )?
        }
        None => Why::new(queued.quantity(), "wait, and nothing was read in the window; its writer stands still")?,
    };
    // On the receiver's side what it has not read is in the column Recv-Q.
    let which = if worst.receiver == Receiver::Client { "dport" } else { "sport" };
    let command = worst.server_port.map_or_else(|| "ss -tnp".into(), |port| format!("ss -tnp '{which} = :{port}'"));
    let place = Where::new("Recv-Q, and what keeps from reading,", &worst.reader, &command)?;
    let [client, callee] = [unit.client(), unit.callee()].map(|name| name.unwrap_or_else(|| unit.to_string()));
    let origin =
        Origin::new(if worst.receiver == Receiver::Client { &client } else { &callee }, Confidence::new(0.85)?)?;
    let again = Proportion::new(held.retransmitted, held.segments);
    let network =
        RuledOut::new("lost packets", Quantity::new(again.share(), Measure::Ratio)?, "of segments sent again")?;
    let evidence = [held_up, share, queued];
    let sure = Confidence::new(0.9)?;
    let report = Report::new(Some(reading.class()), what, place, why, evidence, origin, network, sure)?;
    Ok(report.with_evidence(taken).with_evidence(open))
}
