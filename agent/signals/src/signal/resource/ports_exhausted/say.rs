//! What is said of an edge without local ports.

use super::reading::{Class, NEARLY, Reading};
use crate::{
    report::{
        Report,
        contract::{Confidence, Defect, Origin, Place, RuledOut, What, Where, Why},
        evidence::{Compared, Evidence},
        quantity::{Measure, Quantity},
    },
    subject::Subject,
};

pub(super) fn report(unit: &Subject, reading: &Reading, window_ns: u64) -> Result<Report, Defect> {
    let class = reading.class();
    let attempts = reading.attempts().max(1);
    let sockets = u64::from(reading.taken.map_or(0, |(tuple, _)| tuple.sockets)).max(1);
    let seconds = window_ns as f64 / 1e9;
    let count = |n: f64, what| Quantity::new(n, Measure::Count(what));
    let failed = count(reading.failed as f64, "connects")?;
    let failed = Evidence::new("found no port", failed, Some(Compared::Expected(0.0)), window_ns, attempts)?;
    let share = Quantity::new(reading.share(), Measure::Ratio)?;
    let share = Evidence::new("ports taken", share, Some(Compared::AtMost(NEARLY)), window_ns, sockets)?;
    let rate = Quantity::new(attempts as f64 / seconds, Measure::Rate("connects/s"))?;
    let rate = Evidence::new("attempted", rate, None, window_ns, attempts)?;
    let what = if reading.failed > 0 {
        What::new(&failed, &first_that_fits(&none_free(reading, class)))?
    } else {
        What::new(&share, &first_that_fits(&taken(reading)))?
    };
    let why = if reading.failed > 0 {
        let lost = Quantity::new(reading.failed as f64 / seconds, Measure::Rate("connects/s"))?;
        Why::new(lost, "fail on the client's own host: no packet leaves it, and the server does not know")?
    } else {
        let left = f64::from(reading.available.unwrap_or(0)) * (1.0 - reading.share());
        Why::new(count(left, "ports")?, "are left: without one, each new connection fails at once")?
    };
    let client = unit.client().unwrap_or_else(|| unit.to_string());
    let sure = Confidence::new(if class == Class::Unclear { 0.6 } else { 0.95 })?;
    let evidence = [failed, share, rate];
    let look = look(unit, reading, class)?;
    let origin = Origin::new(&client, sure)?;
    let report = Report::new(Some(class.name()), what, look, why, evidence, origin, ruled_out(reading, class)?, sure)?;
    let report = report.without(RuledOut::new(
        "server",
        count(reading.failed_there as f64, "connects")?,
        "were refused by it or got no answer",
    )?);
    let Some((tuple, _)) = reading.taken else { return Ok(report) };
    let waiting = Quantity::new(reading.waiting(), Measure::Ratio)?;
    let waiting = Evidence::new("of its sockets in TIME_WAIT", waiting, None, window_ns, sockets)?;
    let closed = Quantity::new(reading.closed as f64 / seconds, Measure::Rate("connections/s"))?;
    let closed = Evidence::new("closed", closed, None, window_ns, attempts)?;
    let range = count(f64::from(reading.available.unwrap_or(0)), "ports")?;
    let range = Evidence::new("in the range", range, None, window_ns, tuple.sockets.into())?;
    Ok([waiting, closed, range].into_iter().fold(report, Report::with_evidence))
}

/// With as much of the addresses as fits.
fn first_that_fits(phrases: &[String]) -> String {
    const MAX: usize = 100;
    let fitting = phrases.iter().find(|phrase| phrase.chars().count() <= MAX);
    fitting.or(phrases.last()).cloned().unwrap_or_default()
}

fn none_free(reading: &Reading, class: Class) -> Vec<String> {
    let (to, range) = (reading.to, reading.available.map_or_else(|| "the".to_owned(), |n| format!("{n}")));
    match (class, reading.taken) {
        (Class::AddressNotLocal, _) => vec![format!("to {to} found no local address, but ports"), "found none".into()],
        (_, Some((tuple, _))) => vec![
            format!("found none of the {range} local ports of {} free to {to}", tuple.local),
            format!("found none of {range} local ports free to {to}"),
            format!("found none of {range} local ports free"),
        ],
        (_, None) => vec![format!("to {to} found no local address and port"), "found no local port".into()],
    }
}

fn taken(reading: &Reading) -> Vec<String> {
    let (to, n) = (reading.to, reading.available.unwrap_or(0));
    let local = reading.taken.map_or_else(String::new, |(tuple, _)| format!(" of {}", tuple.local));
    vec![
        format!("of the {n} local ports{local} to {to} are taken"),
        format!("of {n} local ports to {to} are taken"),
        format!("of {n} local ports are taken"),
    ]
}

fn look(unit: &Subject, reading: &Reading, class: Class) -> Result<Where, Defect> {
    let [client, _] = unit.services();
    let service = client.map(|client| Place::Service(client.clone()));
    let Some(place) = reading.client.clone().or(service) else { return Err(Defect::NoWords) };
    let to = reading.to;
    match class {
        Class::AddressNotLocal => Where::new("address that a socket is bound to by", &place, "ip address"),
        // A minute of TIME_WAIT after each: reuse is what helps.
        _ if reading.waiting() >= 0.5 => {
            Where::new("connections opened and closed instead of reused by", &place, &command(to))
        }
        _ => Where::new("connections held open by", &place, &command(to)),
    }
}

fn command(to: std::net::SocketAddr) -> String {
    format!("ss -tan 'dst {to}'")
}

fn ruled_out(reading: &Reading, class: Class) -> Result<RuledOut, Defect> {
    match class {
        Class::AddressNotLocal => {
            let used = Quantity::new(reading.share(), Measure::Ratio)?;
            RuledOut::new("local ports", used, "of them are taken")
        }
        _ => {
            let sockets = f64::from(reading.taken.map_or(0, |(tuple, _)| tuple.sockets));
            let sockets = Quantity::new(sockets, Measure::Count("sockets"))?;
            RuledOut::new("an address that is not local", sockets, "have a local address to there")
        }
    }
}
