//! The report of an edge whose requests hang.

use super::reading::{Class, Reading};
use crate::signal::prelude::*;
use weir_engine::Service;

pub(super) fn report(subject: &Subject, reading: &Reading<'_>, window_ns: u64) -> Result<Report, Defect> {
    let [Some(client), Some(server)] = subject.services() else { return Err(Defect::NoWords) };
    let normal = reading.usual.ok_or(Defect::NoBaseline)?;
    let class = reading.class();
    let sample = Sample { window_ns, n: reading.under_way.max(1) };
    let requests = Measure::Count("requests");
    let (old, connections) = (reading.old.round(), reading.connections);
    let age = sample.learned("age of hung requests, mean", reading.age_s, Measure::Seconds, normal.p99_s)?;
    let hung = sample.learned("hung", old, requests, normal.old.round())?;
    let answered = sample.learned("answered", reading.rate, Measure::Rate("requests/s"), normal.rate)?;
    let mut more = vec![sample.evidence("share of connections", reading.share(), Measure::Ratio)?];
    if let Some(taken) = reading.taken {
        let taken = taken.min(reading.under_way) as f64;
        more.push(sample.evidence("read by the server", taken, requests)?);
    }
    more.push(sample.evidence("sent again", reading.retransmitted as f64, Measure::Count("segments"))?);
    if reading.abandoned > 0 {
        more.push(sample.evidence("given up", reading.abandoned as f64, requests)?);
    }
    Parts {
        class: Some(class.name()),
        what: What::new(&age, &format!("is the mean age of {old:.0} requests on {connections} connections"))?,
        place: place(server, reading, class)?,
        why: why(client, reading)?,
        evidence: [age, hung, answered],
        more,
        origin: origin(server, class)?,
        ruled_out: ruled_out(reading, class, normal.longest_s)?,
        confidence: if reading.taken.is_some() { 0.9 } else { 0.8 },
    }
    .report()
}

fn why(client: &Service, reading: &Reading<'_>) -> Result<Why, Defect> {
    if reading.callers > 0 {
        let callers = count(reading.callers as f64, "requests")?;
        return Why::new(callers, &format!("of {client}'s own callers are under way, and may wait for these"));
    }
    let share = Quantity::new(reading.share(), Measure::Ratio)?;
    Why::new(share, "of the connections are held by requests that get no answer")
}

fn place(server: &Service, reading: &Reading<'_>, class: Class) -> Result<Where, Defect> {
    let ends = &reading.ends;
    let address = || ends.address.map_or_else(|| Place::Service(server.clone()), Place::Address);
    let ss = |which| ends.ss("-tnpo", which);
    match (class, ends.server()) {
        (Class::Lost, _) => Where::new("packets retransmitted: path and firewall to", &address(), &ss("dport")),
        (Class::NotRead, Some(process)) => {
            Where::new("blocked or stopped, its sockets unread:", &process, &ss("sport"))
        }
        (Class::NotRead, None) => Where::new("the process that should read the sockets at", &address(), &ss("sport")),
        (Class::NoAnswer, Some(process @ Place::Process { pid, .. })) => {
            Where::new("what the threads wait for in", &process, &format!("ps -L -o tid,stat,wchan:32 -p {pid}"))
        }
        (Class::NoAnswer, _) => Where::new("what is under way at", &address(), &ss("dport")),
    }
}

fn origin(server: &Service, class: Class) -> Result<Origin, Defect> {
    match class {
        Class::Lost => Origin::new(&format!("the path to {server}"), Confidence::new(0.7)?),
        Class::NotRead => Origin::new(server, Confidence::new(0.8)?),
        // It may itself wait for another service.
        Class::NoAnswer => Origin::new(server, Confidence::new(0.5)?),
    }
}

/// What these numbers speak against.
fn ruled_out(reading: &Reading<'_>, class: Class, longest_s: f64) -> Result<Vec<RuledOut>, Defect> {
    let mut list = Vec::new();
    if reading.retransmitted == 0 {
        let none = count(0.0, "segments")?;
        list.push(RuledOut::new("lost packets", none, "retransmitted, not counting those of a full accept queue")?);
    }
    if let (Class::NoAnswer, Some(taken)) = (class, reading.taken) {
        let taken = count(taken.min(reading.under_way) as f64, "requests")?;
        list.push(RuledOut::new("queue", taken, "of these the server has read")?);
    }
    if reading.ends.client().is_some() && reading.answered > 0 {
        list.push(RuledOut::new(
            "the client",
            count(reading.answered as f64, "answers")?,
            "were read by it meanwhile",
        )?);
    }
    let longest = Quantity::new(longest_s, Measure::Seconds)?;
    list.push(RuledOut::new("long polls", longest, "was the longest wait while all was well")?);
    Ok(list)
}
