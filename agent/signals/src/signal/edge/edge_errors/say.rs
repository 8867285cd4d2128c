//! What is said of an edge whose calls fail.

use std::net::SocketAddr;

use super::tally::{Cause, Reading};
use crate::report::{
    Report,
    contract::{Confidence, Defect, Origin, Place, RuledOut, What, Where, Why},
    evidence::{Compared, Evidence},
    quantity::{Measure, Quantity},
};
use weir_engine::Service;

/// Who is at the ends.
pub(super) struct Ends<'a> {
    pub(super) client: &'a Service,
    /// A process of it, where it is on this host.
    pub(super) client_process: Option<&'a Place>,
    pub(super) server: &'a Service,
    pub(super) address: Option<SocketAddr>,
}

/// 95%: what Wilson's bound is made with.
const BY_SHARE: f64 = 0.95;

pub(super) fn report(ends: &Ends<'_>, reading: &Reading, window_ns: u64) -> Result<Report, Defect> {
    let worst = reading.tally.worst();
    let failing = failing(reading, window_ns)?;
    let n = failing.n();
    let what = What::new(&failing, &format!("of {} fail: {}", subject(reading), causes(reading)))?;
    let count = |name, n_of, measure| Evidence::new(name, Quantity::new(n_of as f64, measure)?, None, window_ns, n);
    let worst_count = count(worst.name(), reading.tally.of(worst), Measure::Count("calls"))?;
    let goodput = Quantity::new(reading.tally.good() as f64 / reading.seconds, Measure::Rate("calls/s"))?;
    let normal = reading.known.goodput.map(Compared::Learned);
    let succeeding = Evidence::new("succeeding", goodput, normal, window_ns, n)?;
    let lost = Quantity::new(reading.calls.hits as f64 / reading.seconds, Measure::Rate("calls/s"))?;
    let why = Why::new(lost, "go without an answer")?;
    let mut without = ruled_out(reading)?.into_iter();
    let chance = chance(reading)?;
    let first = without.next().unwrap_or_else(|| chance.clone());
    let evidence = [failing, worst_count, succeeding];
    let sure = confidence(reading)?;
    let mut report =
        Report::new(Some(worst.name()), what, look(ends, worst)?, why, evidence, origin(ends, worst)?, first, sure)?;
    for cause in Cause::ALL.into_iter().filter(|cause| *cause != worst && reading.tally.of(*cause) > 0) {
        report = report.with_evidence(count(cause.name(), reading.tally.of(cause), Measure::Count("calls"))?);
    }
    if reading.tally.failed_timed > 0 {
        let mean = reading.tally.failed_ns as f64 / reading.tally.failed_timed as f64 / 1e9;
        let mean = Quantity::new(mean, Measure::Seconds)?;
        report = report.with_evidence(Evidence::new(
            "mean time to failure",
            mean,
            None,
            window_ns,
            reading.tally.failed_timed,
        )?);
    }
    Ok(without.chain([chance]).fold(report, Report::without))
}

/// Where no connect succeeds, that is what is said; else the share of all calls.
fn failing(reading: &Reading, window_ns: u64) -> Result<Evidence, Defect> {
    if reading.none_connect {
        let connects = reading.tally.connects();
        let share = Quantity::new(connects.share(), Measure::Ratio)?;
        return Evidence::new("failing connects", share, Some(Compared::Expected(0.0)), window_ns, connects.events);
    }
    let share = Quantity::new(reading.calls.share(), Measure::Ratio)?;
    // What is normal has been taken off already.
    let normal = if reading.known.unanswered.is_some() { Compared::Learned(0.0) } else { Compared::Expected(0.0) };
    Evidence::new("failing calls", share, Some(normal), window_ns, reading.calls.events)
}

fn subject(reading: &Reading) -> &'static str {
    if reading.none_connect { "connects" } else { "calls" }
}

/// The three that weigh most, with their numbers.
fn causes(reading: &Reading) -> String {
    let mut causes = Cause::ALL.map(|cause| (reading.tally.of(cause), cause));
    causes.sort_by_key(|(n, cause)| (std::cmp::Reverse(*n), *cause));
    let some = causes.iter().take(3).filter(|(n, _)| *n > 0);
    let said = some.filter_map(|(n, cause)| Quantity::new(*n as f64, Measure::Count(cause.name())).ok());
    said.map(|quantity| quantity.to_string()).collect::<Vec<_>>().join(", ")
}

fn look(ends: &Ends<'_>, worst: Cause) -> Result<Where, Defect> {
    let server = ends.address.map_or_else(|| Place::Service(ends.server.clone()), Place::Address);
    let client = ends.client_process.cloned().unwrap_or_else(|| Place::Service(ends.client.clone()));
    let port = ends.address.map(|address| address.port());
    let ss = |options: &str, which: &str| {
        port.map_or_else(|| format!("ss {options}"), |p| format!("ss {options} '{which} = :{p}'"))
    };
    match worst {
        Cause::Refused => Where::new("nothing listens at", &server, &ss("-ltnp", "sport")),
        Cause::Timeout => {
            Where::new("SYNs unanswered: path, firewall or accept queue of", &server, &ss("-ltn", "sport"))
        }
        Cause::Unreachable => {
            let route =
                ends.address.map_or_else(|| "ip route".into(), |address| format!("ip route get {}", address.ip()));
            Where::new("no route to", &server, &route)
        }
        Cause::Reset => Where::new("handshakes cut off on the way to", &server, &ss("-tan", "dport")),
        Cause::ConnectError => Where::new("local firewall or limits of", &client, "nft list ruleset"),
        Cause::Broken => Where::new("crashes, kills, closed connections of", &server, &ss("-tnp", "sport")),
        Cause::Abandoned => Where::new("the timeout set in", &client, &ss("-tnpi", "dport")),
    }
}

fn origin(ends: &Ends<'_>, worst: Cause) -> Result<Origin, Defect> {
    let of_server = |sure| Origin::new(ends.server, Confidence::new(sure)?);
    match worst {
        // Whoever answers with a reset is at the other end, or a firewall that says it is.
        Cause::Refused => of_server(0.9),
        Cause::Broken => of_server(0.8),
        // The path and the server look alike from here.
        Cause::Timeout | Cause::Reset => of_server(0.6),
        Cause::Unreachable => Origin::new(&format!("the path to {}", ends.server), Confidence::new(0.8)?),
        Cause::ConnectError => Origin::new(ends.client, Confidence::new(0.7)?),
        // A slow server and an impatient caller look alike too.
        Cause::Abandoned => of_server(0.5),
    }
}

/// What these counts speak against.
fn ruled_out(reading: &Reading) -> Result<Vec<RuledOut>, Defect> {
    let tally = &reading.tally;
    let mut list = Vec::new();
    let refused = tally.of(Cause::Refused);
    if refused > 0 && refused == tally.connects().hits {
        let resets = Quantity::new(refused as f64, Measure::Count("resets"))?;
        list.push(RuledOut::new("lost packets", resets, "came back, one for each failed connect")?);
    }
    if tally.no_port == 0 {
        let none = Quantity::new(0.0, Measure::Count("connects"))?;
        list.push(RuledOut::new("local ports", none, "found none free")?);
    }
    let requests = tally.requests().filter(|requests| requests.hits == 0 && requests.events > 0);
    if let Some(requests) = requests {
        let answered = Quantity::new(requests.events as f64, Measure::Count("requests"))?;
        list.push(RuledOut::new("open connections", answered, "on them were all answered")?);
    }
    Ok(list)
}

/// What can always be ruled out, and is the last that is said.
fn chance(reading: &Reading) -> Result<RuledOut, Defect> {
    let share = if reading.none_connect { reading.tally.connects() } else { reading.calls };
    RuledOut::new("chance", Quantity::new(share.low(), Measure::Ratio)?, "at least fail, with 95% confidence")
}

fn confidence(reading: &Reading) -> Result<Confidence, Defect> {
    let by_share = reading.calls.gated().is_some_and(|share| share.low() > 0.0);
    // Three of three may be an accident of three; ten of ten are not.
    Confidence::new(if by_share { BY_SHARE } else { 0.5 + reading.tally.connects().low() / 2.0 })
}
