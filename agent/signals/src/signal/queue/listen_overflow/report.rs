//! The report of a listener that drops SYNs.

use super::reading::{Class, Reading};
use crate::signal::prelude::*;

pub(super) fn report(subject: &Subject, reading: &Reading<'_>, window_ns: u64) -> Result<Report, Defect> {
    let Reading { counters, culprit, class, .. } = reading;
    let dropped = reading.dropped();
    let cookies = counters.request_queue_cookies;
    // Where nothing was dropped the cookies are what happened.
    let sample = Sample { window_ns, n: dropped.max(cookies).max(1) };
    let expected = |name, n: u64, what| sample.expected(name, n as f64, Measure::Count(what), 0.0);
    let most = |name, n: u32, limit: u32| sample.at_most(name, n.into(), Measure::Count("connections"), limit.into());
    let drops = expected("dropped", dropped, "SYNs")?;
    let answered = expected("SYN cookies", counters.syncookies_sent.max(cookies), "SYNs")?;
    let overflows = expected("ListenOverflows", counters.listen_overflows, "times")?;
    let third = match (reading.half_open(), culprit) {
        (Some(queue), _) => most("half open", queue.count, queue.limit)?,
        (None, Some(culprit)) => most("waiting for accept", culprit.peak, culprit.last.max)?,
        (None, None) => sample.evidence("listeners", reading.listeners as f64, Measure::Count("sockets"))?,
    };
    let what = what(reading, &drops, &answered)?;
    let mut more = Vec::new();
    if *class == Class::RequestQueue {
        more.push(answered);
    }
    if reading.retransmitted > 0 {
        let segments = Measure::Count("segments");
        more.push(sample.evidence("sent again by callers", reading.retransmitted as f64, segments)?);
    }
    if reading.unanswered > 0 {
        more.push(expected("connects that timed out", reading.unanswered, "connects")?);
    }
    let confidence = match (culprit, class) {
        (Some(culprit), Class::AcceptQueue) if culprit.was_full() => 0.95,
        (Some(_), Class::RequestQueue) => 0.9,
        (Some(_), _) => 0.7,
        (None, _) => 0.5,
    };
    let lost = Quantity::new(sample.n as f64 / (window_ns as f64 / 1e9), Measure::Rate("connections/s"))?;
    let why = match class {
        Class::RequestQueue if dropped == 0 => "lose TCP options, and more callers will be dropped",
        _ => "wait for a second and longer before they are tried again, or time out",
    };
    Parts {
        class: Some(class.name()),
        what,
        place: place(subject, reading)?,
        why: Why::new(lost, why)?,
        evidence: [drops, overflows, third],
        more,
        origin: origin(subject, reading, confidence)?,
        ruled_out: vec![ruled_out(reading)?],
        confidence,
    }
    .report()
}

fn what(reading: &Reading<'_>, drops: &Evidence, answered: &Evidence) -> Result<What, Defect> {
    match (reading.class, reading.half_open(), reading.culprit) {
        (Class::RequestQueue, ..) if reading.dropped() == 0 => {
            What::new(answered, "were answered by cookies: the request queue is full")
        }
        (Class::RequestQueue, Some(queue), _) => {
            let (n, limit) = (queue.count, queue.limit);
            What::new(drops, &format!("were dropped: the request queue is full ({n} half open of {limit})"))
        }
        (Class::RequestQueue, None, _) => What::new(drops, "were dropped: the request queue is full"),
        (Class::AcceptQueue, _, Some(culprit)) => {
            let (n, limit) = (culprit.peak, culprit.last.max);
            What::new(drops, &format!("were dropped: the accept queue is full ({n} of {limit})"))
        }
        (Class::AcceptQueue, _, None) => What::new(drops, "were dropped: the accept queue is full"),
        (Class::Dropped, ..) => What::new(drops, "were dropped by listeners, though no queue was seen full"),
    }
}

/// The caller of most of the half-open connections; a flood with made-up addresses has none.
fn origin(subject: &Subject, reading: &Reading<'_>, confidence: f64) -> Result<Origin, Defect> {
    match reading.half_open().filter(|queue| queue.of_it.saturating_mul(2) > queue.count) {
        Some(queue) => Origin::new(&queue.from, Confidence::new(0.7)?),
        None => Origin::new(&callee(subject), Confidence::new(confidence)?),
    }
}

fn ruled_out(reading: &Reading<'_>) -> Result<RuledOut, Defect> {
    let Some(culprit) = reading.culprit else {
        // The kernel counts them on listening sockets only; a port without one answers with a reset.
        let counted = reading.dropped().max(reading.counters.request_queue_cookies);
        return RuledOut::new("a closed port", count(counted as f64, "SYNs")?, "reached a listener");
    };
    let waiting = count(culprit.peak, "connections")?;
    match reading.class {
        Class::RequestQueue => RuledOut::new("a server that does not accept", waiting, "wait for it"),
        // The queue of a server that does not listen is empty.
        Class::AcceptQueue | Class::Dropped => {
            RuledOut::new("lost packets", waiting, "came through, and wait for the server")
        }
    }
}

fn place(subject: &Subject, reading: &Reading<'_>) -> Result<Where, Defect> {
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
        None if subject.callee().is_some() => Where::new(phrase, &Place::Address(address), &command),
        None => Err(Defect::NoWords),
    }
}
