//! The report of an edge without local ports.

use std::net::SocketAddr;

use super::reading::{Class, NEARLY, Reading};
use crate::signal::prelude::*;

pub(super) fn report(subject: &Subject, reading: &Reading<'_>, window_ns: u64) -> Result<Report, Defect> {
    let class = reading.class();
    let attempts = Sample { window_ns, n: reading.attempts().max(1) };
    let n = u64::from(reading.taken.map_or(0, |(tuple, _)| tuple.sockets));
    let sockets = Sample { window_ns, n: n.max(1) };
    let seconds = window_ns as f64 / 1e9;
    let failed = attempts.expected("found no port", reading.failed as f64, Measure::Count("connects"), 0.0)?;
    let share = sockets.at_most("ports taken", reading.share(), Measure::Ratio, NEARLY)?;
    let per_s = attempts.n as f64 / seconds;
    let rate = attempts.evidence("attempted", per_s, Measure::Rate("connects/s"))?;
    let (what, why) = if reading.failed > 0 {
        let lost = Quantity::new(reading.failed as f64 / seconds, Measure::Rate("connects/s"))?;
        (
            What::new(&failed, &first_that_fits(&none_free(reading, class)))?,
            Why::new(lost, "fail on the client's own host: no packet leaves it, and the server does not know")?,
        )
    } else {
        let left = f64::from(reading.available.unwrap_or(0)) * (1.0 - reading.share());
        (
            What::new(&share, &first_that_fits(&taken(reading)))?,
            Why::new(count(left, "ports")?, "are left: without one, each new connection fails at once")?,
        )
    };
    let more = if reading.taken.is_some() {
        let closed = reading.closed as f64 / seconds;
        let range = Sample { window_ns, n };
        let available = f64::from(reading.available.unwrap_or(0));
        vec![
            sockets.evidence("of its sockets in TIME_WAIT", reading.waiting(), Measure::Ratio)?,
            attempts.evidence("closed", closed, Measure::Rate("connections/s"))?,
            range.evidence("in the range", available, Measure::Count("ports"))?,
        ]
    } else {
        Vec::new()
    };
    let confidence = if class == Class::Unclear { 0.6 } else { 0.95 };
    let there = count(reading.failed_there as f64, "connects")?;
    Parts {
        class: Some(class.name()),
        what,
        place: place(subject, reading, class)?,
        why,
        evidence: [failed, share, rate],
        more,
        origin: Origin::new(&caller(subject), Confidence::new(confidence)?)?,
        ruled_out: vec![
            ruled_out(reading, class)?,
            RuledOut::new("server", there, "were refused by it or got no answer")?,
        ],
        confidence,
    }
    .report()
}

/// With as much of the addresses as fits.
fn first_that_fits(phrases: &[String]) -> String {
    const MAX: usize = 100;
    let fitting = phrases.iter().find(|phrase| phrase.chars().count() <= MAX);
    fitting.or(phrases.last()).cloned().unwrap_or_default()
}

fn none_free(reading: &Reading<'_>, class: Class) -> Vec<String> {
    let (to, range) = (reading.to, reading.available.map_or_else(|| "the".to_owned(), |n| format!("{n}")));
    match (class, reading.taken) {
        (Class::AddressNotLocal, _) => vec![
            format!("to {to} found no usable local address, though ports are free"),
            "found no usable local address, though ports are free".into(),
        ],
        (_, Some((tuple, _))) => vec![
            format!("found none of the {range} local ports of {} free to {to}", tuple.local),
            format!("found none of {range} local ports free to {to}"),
            format!("found none of {range} local ports free"),
        ],
        (_, None) => vec![format!("to {to} found no local address and port"), "found no local port".into()],
    }
}

fn taken(reading: &Reading<'_>) -> Vec<String> {
    let (to, n) = (reading.to, reading.available.unwrap_or(0));
    let local = reading.taken.map_or_else(String::new, |(tuple, _)| format!(" of {}", tuple.local));
    vec![
        format!("of the {n} local ports{local} to {to} are taken"),
        format!("of {n} local ports to {to} are taken"),
        format!("of {n} local ports are taken"),
    ]
}

fn place(subject: &Subject, reading: &Reading<'_>, class: Class) -> Result<Where, Defect> {
    let [client, _] = subject.services();
    let service = || client.cloned().map(Place::Service);
    let place = reading.client.map(Place::of).or_else(service).ok_or(Defect::NoWords)?;
    match class {
        Class::AddressNotLocal => Where::new("address that a socket is bound to by", &place, "ip address"),
        // A minute of TIME_WAIT after each: reuse is what helps.
        _ if reading.waiting() >= 0.5 => {
            Where::new("connections opened and closed instead of reused by", &place, &command(reading.to))
        }
        _ => Where::new("connections held open by", &place, &command(reading.to)),
    }
}

fn command(to: SocketAddr) -> String {
    format!("ss -tan 'dst {to}'")
}

fn ruled_out(reading: &Reading<'_>, class: Class) -> Result<RuledOut, Defect> {
    match class {
        Class::AddressNotLocal => {
            RuledOut::new("local ports", Quantity::new(reading.share(), Measure::Ratio)?, "are in use")
        }
        Class::Used | Class::Unclear => {
            let sockets = count(reading.taken.map_or(0, |(tuple, _)| tuple.sockets), "sockets")?;
            RuledOut::new("an address that is not local", sockets, "use a local address for it")
        }
    }
}
