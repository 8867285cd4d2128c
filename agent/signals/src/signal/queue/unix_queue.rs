//! R6: the accept queue of a UNIX socket is full, and callers wait in `connect`, or fail at once (`EAGAIN`).
//!
//! What nginx and its application servers, databases and their local clients, and sidecars have between them is a UNIX
//! socket as often as a TCP one; the kernel keeps no counter of who did not get in. So the queue is looked at once a
//! second: it raises when it was full at two of the polls of a window, in two windows of three; it is over when less than
//! half of it is used.
//!
//! Where it is blind: a queue that is full between two polls only; who waits in front of it.

use std::collections::BTreeSet;

use crate::{
    evaluate::{Evaluator, Judge},
    finding::Finding,
    incident::{alarm::Rule, severity::Severity},
    report::{
        Report,
        contract::{Confidence, Defect, Origin, Place, RuledOut, What, Where, Why},
        evidence::{Compared, Evidence},
        quantity::{Measure, Quantity},
    },
    signal::queue::suspects::Suspects,
    subject::Subject,
    table::Signal,
    trust::Trust,
    window::Window,
};
use weir_engine::{Kind, Service, UnixView};

/// Its row.
pub(crate) const SIGNAL: Signal = Signal {
    name: "unix_queue",
    says: "the accept queue of a UNIX socket is full: callers wait in connect, or fail at once",
    rule: Rule::USUAL,
    // A server that starts keeps its callers waiting too, and they should know why.
    minds_changes: false,
};

/// At one poll it may have been a burst.
const FULL_POLLS: u32 = 2;

/// The evaluator.
#[derive(Debug, Default)]
pub(crate) struct UnixQueue {
    /// Their namespace, and how they were last seen.
    suspects: Suspects<(u32, UnixView)>,
}

impl Evaluator for UnixQueue {
    fn signal(&self) -> &'static Signal {
        &SIGNAL
    }

    fn over_limit(&self) -> u64 {
        self.suspects.over_limit()
    }

    fn evaluate(&mut self, window: &Window<'_>, judge: &mut Judge<'_>) {
        let snapshot = window.snapshot;
        let mut spoken_of = BTreeSet::new();
        for namespace in &snapshot.host.namespaces {
            for queue in &namespace.unix {
                let unit = unit(queue, window);
                if !spoken_of.insert(unit.clone()) {
                    continue;
                }
                let report = || report(&unit, queue, snapshot.window_ns);
                let state = judge.judge(&unit, finding(queue), Trust::Unchecked, report);
                if !state.is_normal() {
                    self.suspects.suspect(unit, (namespace.netns, queue.clone()));
                }
            }
        }
        let is_polled = |netns: u32| snapshot.host.namespaces.iter().any(|namespace| namespace.netns == netns);
        self.suspects.forget(&spoken_of, |unit, (netns, last)| {
            // Nobody waits there any more; of a namespace that is gone nothing can be said, and the alarm ends by itself.
            let report = || report(unit, last, snapshot.window_ns);
            !is_polled(*netns) || judge.judge(unit, Finding::Clear, Trust::Unchecked, report).is_normal()
        });
    }
}

/// Whose it is, where that was found; else the socket itself.
fn unit(queue: &UnixView, window: &Window<'_>) -> Subject {
    let socket = || Service { kind: Kind::Address, namespace: None, name: queue.last.name.clone() };
    Subject::server(queue.last.owner.as_ref().map_or_else(socket, |owner| window.owners().service(owner)), None)
}

fn finding(queue: &UnixView) -> Finding {
    if queue.full >= FULL_POLLS {
        Finding::Raise(Severity::Warn)
    } else if queue.full == 0 && queue.peak <= queue.last.max / 2 {
        Finding::Clear
    } else {
        Finding::Between
    }
}

fn report(unit: &Subject, queue: &UnixView, window_ns: u64) -> Result<Report, Defect> {
    let last = &queue.last;
    let n = u64::from(queue.peak).max(1);
    let evidence = |name, value: u32, measure, most: Option<u32>| {
        let most = most.map(|most| Compared::AtMost(f64::from(most)));
        Evidence::new(name, Quantity::new(f64::from(value), measure)?, most, window_ns, n)
    };
    let connections = Measure::Count("connections");
    let peak = evidence("waiting for accept, most", queue.peak, connections, Some(last.max))?;
    let now = evidence("at the last poll", last.backlog, connections, Some(last.max))?;
    let full = evidence("full", queue.full, Measure::Count("polls"), Some(FULL_POLLS - 1))?;
    let what = What::new(&peak, "wait in the queue of a UNIX socket that has room for no more")?;
    let why =
        Why::new(full.quantity(), "a second apart found it full: who comes next waits in connect, or gets EAGAIN")?;
    let owner = last.owner.as_ref().map(Place::from);
    let socket = Place::File(last.name.to_string());
    let look = match &owner {
        Some(place @ Place::Process { pid, .. }) => {
            Where::new("accept loop, workers and backlog of", place, &format!("ss -lxp; top -H -p {pid}"))?
        }
        _ => Where::new("accept loop, workers and backlog behind", &socket, "ss -lxp")?,
    };
    let limit = Quantity::new(f64::from(last.max), connections)?;
    let not = RuledOut::new("a burst", limit, "fit, and they were there at several polls")?;
    let sure = Confidence::new(0.9)?;
    let origin = Origin::new(unit, Confidence::new(if owner.is_some() { 0.8 } else { 0.6 })?)?;
    Report::new(None, what, look, why, [peak, now, full], origin, not, sure)
}

#[cfg(test)]
mod tests {
    use crate::{
        incident::{alarm::Ended, decisions::Happened},
        lab::Lab,
        report::alert::MAX_TEXT,
    };
    use weir_engine::{NamespacePoll, Owner, Polled, UnixListener};

    fn run(lab: &mut Lab, seconds: u64, backlog: impl Fn(u64) -> u32) {
        for _ in 0..seconds {
            let backlog = backlog(lab.now_s + 1);
            let owner = (backlog > 5).then(|| Owner { pid: 7, comm: "gunicorn".into() });
            let listener = UnixListener { name: "/run/app.sock".into(), inode: 3, backlog, max: 5, owner };
            let unix = if backlog > 0 { vec![listener] } else { Vec::new() };
            lab.polls = vec![Polled::Namespace(NamespacePoll { netns: 1, unix, ..NamespacePoll::default() })];
            lab.run(1, |_, _| ());
        }
    }

    #[test]
    fn a_queue_that_stays_full_raises_and_clears() {
        let mut lab = Lab::new([]);
        run(&mut lab, 10, |_| 0);
        run(&mut lab, 15, |_| 6);
        assert_eq!(lab.decider.incidents().lost(), Default::default(), "nothing rejected");
        assert_eq!(lab.happened(), [(20, Happened::Raised)]);
        let alert = &lab.events[0].1.alert;
        let document = alert.document();
        assert_eq!((document.signal, document.severity), ("unix_queue", "warn"));
        assert_eq!(document.server.as_deref(), Some("gunicorn"));
        assert!(document.r#where.contains("gunicorn (pid 7)"), "{}", document.r#where);
        assert!(alert.text().chars().count() <= MAX_TEXT, "{}", alert.text());
        run(&mut lab, 20, |_| 0);
        assert_eq!(lab.happened()[1..], [(40, Happened::Resolved(Ended::Cleared))]);
    }

    #[test]
    fn bursts_and_half_full_queues_are_well() {
        let mut lab = Lab::new([]);
        run(&mut lab, 60, |second| if second % 5 == 0 { 6 } else { 0 });
        run(&mut lab, 60, |_| 4);
        assert_eq!(lab.happened(), []);
    }
}
