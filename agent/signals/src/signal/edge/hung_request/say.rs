//! What is said of an edge whose requests hang.

use std::net::SocketAddr;

use super::reading::{Class, Reading};
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
    pub(super) server: &'a Service,
    /// A process of each, where they are on this host.
    pub(super) client_process: Option<&'a Place>,
    pub(super) server_process: Option<&'a Place>,
    pub(super) address: Option<SocketAddr>,
    /// Segments sent again since requests have been old, but for a full accept queue.
    pub(super) resent: u64,
}

pub(super) fn report(ends: &Ends<'_>, reading: &Reading, class: Class, window_ns: u64) -> Result<Report, Defect> {
    let usual = reading.usual.ok_or(Defect::NoBaseline)?;
    let evidence = |name, value, measure, normal: Option<f64>| {
        let n = reading.under_way.max(1);
        Evidence::new(name, Quantity::new(value, measure)?, normal.map(Compared::Learned), window_ns, n)
    };
    let requests = Measure::Count("requests");
    let age = evidence("age of hung requests, mean", reading.age_s, Measure::Seconds, Some(usual.p99_s))?;
    let (old, connections) = (reading.old.round(), reading.connections);
    let what = What::new(&age, &format!("is how long {old:.0} requests wait on {connections} connections"))?;
    let hung = evidence("hung", old, requests, Some(usual.old.round()))?;
    let answered = evidence("answered", reading.rate, Measure::Rate("requests/s"), Some(usual.rate))?;
    let why = if reading.callers > 0 {
        let callers = Quantity::new(reading.callers as f64, requests)?;
        Why::new(callers, &format!("of {}'s own callers are under way, and may wait for these", ends.client))?
    } else {
        let share = Quantity::new(reading.share(), Measure::Ratio)?;
        Why::new(share, "of the connections are held by requests that nobody answers")?
    };
    let mut ruled_out = ruled_out(ends, reading, class)?.into_iter();
    let longest = Quantity::new(usual.longest_s, Measure::Seconds)?;
    let long_polls = RuledOut::new("long polls", longest, "was the longest wait while all was well")?;
    let first = ruled_out.next().unwrap_or_else(|| long_polls.clone());
    let sure = Confidence::new(if reading.taken.is_some() { 0.9 } else { 0.8 })?;
    let origin = origin(ends, class)?;
    let report =
        Report::new(Some(class.name()), what, look(ends, class)?, why, [age, hung, answered], origin, first, sure)?;
    let mut report = ruled_out.chain([long_polls]).fold(report, Report::without);
    let share = evidence("share of connections", reading.share(), Measure::Ratio, None)?;
    report = report.with_evidence(share);
    if let Some(taken) = reading.taken {
        let taken = taken.min(reading.under_way) as f64;
        report = report.with_evidence(evidence("read by the server", taken, requests, None)?);
    }
    let resent = evidence("sent again", ends.resent as f64, Measure::Count("segments"), None)?;
    report = report.with_evidence(resent);
    if reading.abandoned > 0 {
        report = report.with_evidence(evidence("given up", reading.abandoned as f64, requests, None)?);
    }
    Ok(report)
}

fn look(ends: &Ends<'_>, class: Class) -> Result<Where, Defect> {
    let service = || Place::Service(ends.server.clone());
    let address = || ends.address.map_or_else(service, Place::Address);
    let ss = |which: &str| match ends.address {
        Some(address) => format!("ss -tnpo '{which} = :{}'", address.port()),
        None => "ss -tnpo".to_owned(),
    };
    match (class, ends.server_process) {
        (Class::Lost, _) => Where::new("packets sent again: path and firewall to", &address(), &ss("dport")),
        (Class::NotRead, Some(process)) => Where::new("blocked or stopped, its sockets unread:", process, &ss("sport")),
        (Class::NotRead, None) => Where::new("who should read from the sockets of", &address(), &ss("sport")),
        (Class::NoAnswer, Some(process @ Place::Process { pid, .. })) => {
            Where::new("what the threads wait for in", process, &format!("ps -L -o tid,stat,wchan:32 -p {pid}"))
        }
        (Class::NoAnswer, _) => Where::new("what is under way at", &address(), &ss("dport")),
    }
}

fn origin(ends: &Ends<'_>, class: Class) -> Result<Origin, Defect> {
    match class {
        Class::Lost => Origin::new(&format!("the path to {}", ends.server), Confidence::new(0.7)?),
        Class::NotRead => Origin::new(ends.server, Confidence::new(0.8)?),
        // It may itself wait for somebody.
        Class::NoAnswer => Origin::new(ends.server, Confidence::new(0.5)?),
    }
}

/// What these numbers speak against.
fn ruled_out(ends: &Ends<'_>, reading: &Reading, class: Class) -> Result<Vec<RuledOut>, Defect> {
    let mut list = Vec::new();
    if ends.resent == 0 {
        let none = Quantity::new(0.0, Measure::Count("segments"))?;
        list.push(RuledOut::new("lost packets", none, "were sent again but for a full accept queue")?);
    }
    if let (Class::NoAnswer, Some(taken)) = (class, reading.taken) {
        let taken = Quantity::new(taken.min(reading.under_way) as f64, Measure::Count("requests"))?;
        list.push(RuledOut::new("queue", taken, "of these the server has read")?);
    }
    if ends.client_process.is_some() && reading.answered > 0 {
        let answered = Quantity::new(reading.answered as f64, Measure::Count("answers"))?;
        list.push(RuledOut::new("the client", answered, "were read by it meanwhile")?);
    }
    Ok(list)
}
