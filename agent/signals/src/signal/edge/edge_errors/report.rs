//! The report of an edge whose calls fail.

use std::cmp::Reverse;

use super::tally::{Cause, Reading};
use crate::signal::prelude::*;
use weir_engine::Service;

/// 95%: what Wilson's bound is made with.
const BY_SHARE: f64 = 0.95;

pub(super) fn report(subject: &Subject, reading: &Reading<'_>, window_ns: u64) -> Result<Report, Defect> {
    let [Some(client), Some(server)] = subject.services() else { return Err(Defect::NoWords) };
    let Reading { tally, seconds, .. } = reading;
    let worst = tally.worst();
    let failing = failing(reading, window_ns)?;
    let sample = Sample { window_ns, n: failing.n() };
    let of_cause = |cause: Cause| sample.evidence(cause.name(), tally.of(cause) as f64, Measure::Count("calls"));
    let calls_per_s = Measure::Rate("calls/s");
    let succeeding =
        sample.learned("succeeding", tally.good() as f64 / seconds, calls_per_s, reading.before.goodput)?;
    let others = Cause::ALL.into_iter().filter(|cause| *cause != worst && tally.of(*cause) > 0);
    let mut more: Vec<Evidence> = others.map(of_cause).collect::<Result<_, _>>()?;
    if tally.failed_timed > 0 {
        let mean_s = tally.failed_ns as f64 / tally.failed_timed as f64 / 1e9;
        let sample = Sample { window_ns, n: tally.failed_timed };
        more.push(sample.evidence("mean time to failure", mean_s, Measure::Seconds)?);
    }
    let lost = Quantity::new(reading.calls.hits as f64 / seconds, calls_per_s)?;
    let which = if reading.none_connect { "connects" } else { "calls" };
    Parts {
        class: Some(worst.name()),
        what: What::new(&failing, &format!("of {which} fail: {}", causes(reading)))?,
        place: place((client, server), reading, worst)?,
        why: Why::new(lost, "go without an answer")?,
        evidence: [failing, of_cause(worst)?, succeeding],
        more,
        origin: origin((client, server), worst)?,
        ruled_out: ruled_out(reading)?,
        confidence: confidence(reading),
    }
    .report()
}

/// The share of connects where none succeeds, else of all calls.
fn failing(reading: &Reading<'_>, window_ns: u64) -> Result<Evidence, Defect> {
    if reading.none_connect {
        let connects = reading.tally.connects();
        let sample = Sample { window_ns, n: connects.events };
        return sample.expected("failing connects", connects.share(), Measure::Ratio, 0.0);
    }
    let sample = Sample { window_ns, n: reading.calls.events };
    let (name, share) = ("failing calls", reading.calls.share());
    // What is normal has been taken off already.
    if reading.before.unanswered.is_some() {
        sample.learned(name, share, Measure::Ratio, 0.0)
    } else {
        sample.expected(name, share, Measure::Ratio, 0.0)
    }
}

/// The three that weigh most, with their numbers.
fn causes(reading: &Reading<'_>) -> String {
    let mut causes = Cause::ALL.map(|cause| (reading.tally.of(cause), cause));
    causes.sort_by_key(|(n, cause)| (Reverse(*n), *cause));
    let some = causes.iter().take(3).filter(|(n, _)| *n > 0);
    let counts = some.filter_map(|(n, cause)| count(*n as f64, cause.name()).ok());
    counts.map(|quantity| quantity.to_string()).collect::<Vec<_>>().join(", ")
}

fn place((client, server): (&Service, &Service), reading: &Reading<'_>, worst: Cause) -> Result<Where, Defect> {
    let ends = &reading.ends;
    let server = ends.address.map_or_else(|| Place::Service(server.clone()), Place::Address);
    let client = ends.client().unwrap_or_else(|| Place::Service(client.clone()));
    let route = || ends.address.map_or_else(|| "ip route".into(), |address| format!("ip route get {}", address.ip()));
    match worst {
        Cause::Refused => Where::new("nothing listens at", &server, &ends.ss("-ltnp", "sport")),
        Cause::Timeout => {
            Where::new("SYNs unanswered: path, firewall or accept queue of", &server, &ends.ss("-ltn", "sport"))
        }
        Cause::Unreachable => Where::new("no route to", &server, &route()),
        Cause::Reset => Where::new("handshakes cut off on the way to", &server, &ends.ss("-tan", "dport")),
        Cause::ConnectError => Where::new("local firewall or limits of", &client, "nft list ruleset"),
        Cause::Broken => Where::new("crashes, kills, closed connections of", &server, &ends.ss("-tnp", "sport")),
        Cause::Abandoned => Where::new("the timeout set in", &client, &ends.ss("-tnpi", "dport")),
    }
}

fn origin((client, server): (&Service, &Service), worst: Cause) -> Result<Origin, Defect> {
    let of_server = |sure| Origin::new(server, Confidence::new(sure)?);
    match worst {
        // A reset comes from the other end, or from a firewall in its name.
        Cause::Refused => of_server(0.9),
        Cause::Broken => of_server(0.8),
        // The path and the server look alike from here.
        Cause::Timeout | Cause::Reset => of_server(0.6),
        Cause::Unreachable => Origin::new(&format!("the path to {server}"), Confidence::new(0.8)?),
        Cause::ConnectError => Origin::new(client, Confidence::new(0.7)?),
        // A slow server and an impatient caller look alike too.
        Cause::Abandoned => of_server(0.5),
    }
}

/// What these counts speak against.
fn ruled_out(reading: &Reading<'_>) -> Result<Vec<RuledOut>, Defect> {
    let tally = &reading.tally;
    let mut list = Vec::new();
    let refused = tally.of(Cause::Refused);
    if refused > 0 && refused == tally.connects().hits {
        let resets = count(refused as f64, "resets")?;
        list.push(RuledOut::new("lost packets", resets, "came back, one for each failed connect")?);
    }
    if tally.no_port == 0 {
        list.push(RuledOut::new("local ports", count(0.0, "connects")?, "found none free")?);
    }
    let requests = tally.requests().filter(|requests| requests.hits == 0 && requests.events > 0);
    if let Some(requests) = requests {
        let answered = count(requests.events as f64, "requests")?;
        list.push(RuledOut::new("open connections", answered, "on them were all answered")?);
    }
    // What can always be ruled out comes last.
    let share = if reading.none_connect { tally.connects() } else { reading.calls };
    let low = Quantity::new(share.low(), Measure::Ratio)?;
    list.push(RuledOut::new("chance", low, "at least fail, with 95% confidence")?);
    Ok(list)
}

fn confidence(reading: &Reading<'_>) -> f64 {
    let by_share = reading.calls.gated().is_some_and(|share| share.low() > 0.0);
    // Three of three may be an accident of three; ten of ten are not.
    if by_share { BY_SHARE } else { 0.5 + reading.tally.connects().low() / 2.0 }
}
