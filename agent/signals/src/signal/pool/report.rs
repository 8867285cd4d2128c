//! The report of an exhausted pool.

use super::reading::{Class, Reading};
use crate::{facts::pools::Pool, signal::prelude::*};

pub(super) fn report(subject: &Subject, pool: &Pool<'_>, reading: &Reading) -> Result<Report, Defect> {
    let class = reading.class();
    let main = main_evidence(reading, class)?;
    let phrase = match class {
        Class::Leak => "requests wait, and no connection comes back to the pool",
        _ if reading.threads_waited() => "of checkouts waited for a connection",
        _ => "wait for a connection, all of which are taken",
    };
    let sample = |n| Sample { window_ns: reading.window_ns, n };
    let (open, connections) = (reading.connections, Measure::Count("connections"));
    Parts {
        class: Some(class.name()),
        what: What::new(&main, phrase)?,
        place: place(pool, class)?,
        why: why(reading)?,
        evidence: [
            main,
            sample(open).evidence("connections, not growing", open as f64, connections)?,
            sample(reading.rounds.max(1)).evidence("connections awaiting an answer", reading.busy, Measure::Ratio)?,
        ],
        more: more_evidence(reading)?,
        origin: origin(subject, class)?,
        ruled_out: ruled_out(reading, class)?,
        confidence: if reading.waited().is_some() && reading.queue().is_some() { 0.95 } else { 0.85 },
    }
    .report()
}

/// What is compared with what is normal.
fn main_evidence(reading: &Reading, class: Class) -> Result<Evidence, Defect> {
    let sample = |n| Sample { window_ns: reading.window_ns, n };
    if let (Some(waited), Some(handed_off), true) = (reading.waited(), reading.handed_off, reading.threads_waited()) {
        return sample(handed_off.events).expected("waited for a connection", waited, Measure::Ratio, 0.0);
    }
    let callers = reading.counted().ok_or(Defect::NoSample)?;
    if class == Class::Leak {
        let (n, requests) = (callers.in_flight, Measure::Count("requests"));
        return sample(n).learned("requests under work", n as f64, requests, reading.normal.concurrency);
    }
    let queue = reading.queue().unwrap_or(0.0);
    sample(callers.rounds).expected("callers waiting", queue, Measure::Count("callers"), 0.0)
}

fn more_evidence(reading: &Reading) -> Result<Vec<Evidence>, Defect> {
    let mut list = Vec::new();
    if let Some(callers) = reading.counted().filter(|callers| callers.rounds > 0) {
        let sample = Sample { window_ns: reading.window_ns, n: callers.rounds };
        let queue = reading.queue().unwrap_or(0.0);
        list.push(sample.evidence("callers waiting", queue, Measure::Count("callers"))?);
        if let Some(wait) = reading.wait_s() {
            list.push(sample.evidence("wait for a connection, mean", wait, Measure::Seconds)?);
        }
        if let Some(usual) = callers.usual {
            let normal = reading.normal.inbound;
            list.push(sample.learned("callers' time, mean of 95%", usual, Measure::Seconds, normal)?);
        }
    }
    if let Some(answer) = reading.answer {
        let sample = Sample { window_ns: reading.window_ns, n: reading.rounds };
        list.push(sample.learned("answer, mean of fastest 95%", answer, Measure::Seconds, reading.normal.answer)?);
    }
    Ok(list)
}

fn why(reading: &Reading) -> Result<Why, Defect> {
    match (reading.wait_s(), reading.counted()) {
        (Some(wait), Some(callers)) if callers.rounds > 0 => Why::new(
            Quantity::new(wait, Measure::Seconds)?,
            &format!("of waiting added to each of {:.0} requests/s, before its first byte is sent", callers.per_s),
        ),
        (_, Some(callers)) => Why::new(
            count(callers.in_flight as f64, "requests")?,
            "are stuck in the process, and each new one joins them",
        ),
        _ => Why::new(
            Quantity::new(reading.taken_per_s, Measure::Rate("checkouts/s"))?,
            "are all that the pool lets through: each caller waits before its first byte is sent",
        ),
    }
}

fn place(pool: &Pool<'_>, class: Class) -> Result<Where, Defect> {
    let phrase = match class {
        Class::SlowDependency => "the requests sent to the dependency by",
        Class::TooSmall => "pool size and load of",
        Class::Held => "what is done while a connection is held in",
        Class::Leak => "connections that are not given back in",
    };
    let port = pool.address().map_or(0, |address| address.port());
    Where::new(phrase, &pool.process(), &format!("ss -tnpo 'dport = :{port}'"))
}

fn origin(subject: &Subject, class: Class) -> Result<Origin, Defect> {
    let (node, sure) = match class {
        Class::SlowDependency => (callee(subject), 0.7),
        Class::TooSmall => (caller(subject), 0.7),
        Class::Held | Class::Leak => (caller(subject), 0.85),
    };
    Origin::new(&node, Confidence::new(sure)?)
}

/// What these numbers speak against.
fn ruled_out(reading: &Reading, class: Class) -> Result<Vec<RuledOut>, Defect> {
    let mut list = Vec::new();
    if let (Some(times), true) = (reading.slower(), class != Class::SlowDependency) {
        list.push(RuledOut::new("slow dependency", Quantity::new(times, Measure::Times)?, "the normal answer time")?);
    }
    if reading.retransmitted == 0 {
        list.push(RuledOut::new("network", count(0.0, "segments")?, "retransmitted by the process")?);
    }
    let opened = count(reading.opened as f64, "connections")?;
    list.push(RuledOut::new("a pool that still grows", opened, "opened, and the total has not grown")?);
    Ok(list)
}
