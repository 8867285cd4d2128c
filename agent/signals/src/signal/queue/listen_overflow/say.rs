//! What is said of a listener that drops who comes.

use super::reading::{Class, Reading};
use crate::{
    report::{
        Report,
        contract::{Confidence, Defect, Origin, Place, RuledOut, What, Where, Why},
        evidence::{Compared, Evidence},
        quantity::{Measure, Quantity},
    },
    subject::Subject,
};

pub(super) fn report(unit: &Subject, reading: &Reading<'_>, window_ns: u64) -> Result<Report, Defect> {
    let seconds = window_ns as f64 / 1e9;
    let counters = &reading.counters;
    let dropped = reading.dropped();
    let cookies = counters.request_queue_cookies;
    // Where nothing was dropped the cookies are what happened.
    let n = dropped.max(cookies).max(1);
    let count = |name, value: u64, what, expected: Option<f64>| {
        let quantity = Quantity::new(value as f64, Measure::Count(what))?;
        Evidence::new(name, quantity, expected.map(Compared::Expected), window_ns, n)
    };
    let drops = count("dropped", dropped, "SYNs", Some(0.0))?;
    let sent = count("SYN cookies", counters.syncookies_sent.max(cookies), "SYNs", Some(0.0))?;
    let overflows = count("ListenOverflows", counters.listen_overflows, "times", Some(0.0))?;
    let what = match reading.class {
        Class::RequestQueue if dropped == 0 => What::new(&sent, "were answered by cookies: the request queue is full")?,
        Class::RequestQueue => {
            What::new(&drops, &format!("were dropped: the request queue is full{}", requests(reading)))?
        }
        Class::AcceptQueue => What::new(&drops, &format!("were dropped: the accept queue is full{}", queue(reading)))?,
        Class::Dropped => What::new(&drops, "were dropped by listeners, though no queue was seen full")?,
    };
    let lost = Quantity::new(n as f64 / seconds, Measure::Rate("connections/s"))?;
    let why = match reading.class {
        Class::RequestQueue if dropped == 0 => Why::new(lost, "lose TCP options, and more callers will be dropped")?,
        _ => Why::new(lost, "wait for a second and longer before they are tried again, or time out")?,
    };
    let most = |name, waiting: u32, limit: u32| {
        let quantity = Quantity::new(f64::from(waiting), Measure::Count("connections"))?;
        Evidence::new(name, quantity, Some(Compared::AtMost(f64::from(limit))), window_ns, n)
    };
    let third = match (reading.half_open(), reading.culprit) {
        (Some(queue), _) => most("half open", queue.count, queue.limit)?,
        (None, Some(culprit)) => most("waiting for accept", culprit.peak, culprit.last.max)?,
        (None, None) => count("listeners", reading.listeners, "sockets", None)?,
    };
    let sure = Confidence::new(match (reading.culprit, reading.class) {
        (Some(culprit), Class::AcceptQueue) if culprit.was_full() => 0.95,
        (Some(_), Class::RequestQueue) => 0.9,
        (Some(_), _) => 0.7,
        (None, _) => 0.5,
    })?;
    let sent_again = Quantity::new(reading.sent_again as f64, Measure::Count("segments"))?;
    let class = Some(reading.class.name());
    let (origin, not) = (origin(unit, reading, sure)?, ruled_out(reading)?);
    let mut report = Report::new(class, what, look(unit, reading)?, why, [drops, overflows, third], origin, not, sure)?;
    if reading.class == Class::RequestQueue {
        report = report.with_evidence(sent);
    }
    if reading.sent_again > 0 {
        report = report.with_evidence(Evidence::new("sent again by callers", sent_again, None, window_ns, n)?);
    }
    if reading.unanswered > 0 {
        report = report.with_evidence(count("connects that timed out", reading.unanswered, "connects", Some(0.0))?);
    }
    Ok(report)
}

/// A caller whom most of the half-open connections are of; a flood with made-up addresses has none.
fn origin(unit: &Subject, reading: &Reading<'_>, sure: Confidence) -> Result<Origin, Defect> {
    let caller = reading.half_open().filter(|queue| queue.of_it.saturating_mul(2) > queue.count);
    match (caller, unit.callee()) {
        (Some(queue), _) => Origin::new(&queue.from, Confidence::new(0.7)?),
        (None, Some(callee)) => Origin::new(&callee, sure),
        (None, None) => Origin::new(unit, sure),
    }
}

fn ruled_out(reading: &Reading<'_>) -> Result<RuledOut, Defect> {
    let Some(culprit) = reading.culprit else {
        let none = Quantity::new(0.0, Measure::Count("resets"))?;
        return RuledOut::new("a server that is gone", none, "are how it drops");
    };
    let waiting = Quantity::new(f64::from(culprit.peak), Measure::Count("connections"))?;
    match reading.class {
        Class::RequestQueue => RuledOut::new("a server that does not accept", waiting, "wait for it"),
        // Nobody waits in the queue of a server that does not listen.
        Class::AcceptQueue | Class::Dropped => {
            RuledOut::new("lost packets", waiting, "came through, and wait for the server")
        }
    }
}

fn requests(reading: &Reading<'_>) -> String {
    reading.half_open().map_or_else(String::new, |queue| format!(" ({} half open of {})", queue.count, queue.limit))
}

fn queue(reading: &Reading<'_>) -> String {
    reading.culprit.map_or_else(String::new, |culprit| format!(" ({} of {})", culprit.peak, culprit.last.max))
}

fn look(unit: &Subject, reading: &Reading<'_>) -> Result<Where, Defect> {
    let Some(culprit) = reading.culprit else {
        let file = Place::File("/proc/net/netstat".into());
        return Where::new("listeners' queues (Recv-Q over Send-Q), counted in", &file, "ss -ltn");
    };
    let address = culprit.last.address;
    let listening = format!("ss -ltnp 'sport = :{}'", address.port());
    let (phrase, command) = match reading.class {
        Class::AcceptQueue => ("accept loop, workers and backlog of", listening),
        Class::RequestQueue => {
            ("SYN flood, lost ACKs, or small backlog of", format!("ss -tn state syn-recv sport = :{}", address.port()))
        }
        Class::Dropped => ("listener of", listening),
    };
    match &culprit.last.owner {
        Some(owner) => Where::new(phrase, &Place::from(owner), &command),
        None if unit.callee().is_some() => Where::new(phrase, &Place::Address(address), &command),
        None => Err(Defect::NoWords),
    }
}
