//! The accept queue of a UNIX socket is full, and callers wait in `connect`, or fail at once (`EAGAIN`).
//!
//! What nginx and its application servers, databases and their local clients, and sidecars have between them is a UNIX
//! socket as often as a TCP one; the kernel keeps no counter of callers that did not get in. So the queue is looked at once a
//! second: it raises when it was full at two of the polls of a window, in two windows of three; it is over when less than
//! half of it is used.
//!
//! Where it is blind: a queue that is full between two polls only; callers that wait in front of it.

use std::{borrow::Cow, collections::BTreeSet};

use crate::signal::prelude::*;
use weir_engine::{Kind, Service, UnixView};

/// At one poll it may have been a burst. A choice: polls are a second apart, so that two of them are no burst.
const FULL_POLLS: u32 = 2;

/// The signal.
#[derive(Debug, Default)]
pub(crate) struct UnixQueue;

/// A queue in a window.
#[derive(Debug)]
pub(crate) struct Reading<'f> {
    netns: u32,
    queue: Cow<'f, UnixView>,
    /// No connection waits in it any more, so that it is not listed: this is how it was last seen.
    is_gone: bool,
}

impl Detector for UnixQueue {
    /// Queues that are full at one time.
    const LIMIT: usize = 1024;
    const ONLY_SUSPECTS: bool = true;

    /// The namespace, and the queue as it was last seen.
    type Memory = Option<(u32, UnixView)>;
    type Input<'f> = Reading<'f>;
    type Reading<'f> = Reading<'f>;

    fn gather<'f>(&mut self, facts: &'f Facts<'f>, known: &Subjects<Self::Memory>) -> Inputs<'f, Reading<'f>> {
        let namespaces = &facts.snapshot.host.namespaces;
        let (mut inputs, mut seen) = (Vec::new(), BTreeSet::new());
        for namespace in namespaces {
            for queue in &namespace.unix {
                let subject = subject(queue, facts);
                if seen.insert(subject.clone()) {
                    let reading = Reading { netns: namespace.netns, queue: Cow::Borrowed(queue), is_gone: false };
                    inputs.push((Cow::Owned(subject), reading));
                }
            }
        }
        for (subject, memory) in known.iter().filter(|(subject, _)| !seen.contains(subject)) {
            let Some((netns, last)) = memory else { continue };
            // Of a namespace that is gone nothing can be said, and the alarm ends by itself.
            if namespaces.iter().any(|namespace| namespace.netns == *netns) {
                let reading = Reading { netns: *netns, queue: Cow::Owned(last.clone()), is_gone: true };
                inputs.push((Cow::Owned(subject.clone()), reading));
            }
        }
        inputs
    }

    fn read<'f>(&self, reading: Reading<'f>, _: &mut Self::Memory, _: &'f Facts<'f>) -> Option<Reading<'f>> {
        Some(reading)
    }

    fn verdict(&self, Reading { queue, is_gone, .. }: &Reading<'_>, _: Rules) -> Finding {
        if *is_gone {
            Finding::Clear
        } else if queue.full >= FULL_POLLS {
            Finding::Raise(Severity::Warn)
        } else if queue.full == 0 && queue.peak <= queue.last.max / 2 {
            Finding::Clear
        } else {
            Finding::Between
        }
    }

    fn report(&self, subject: &Subject, reading: &Reading<'_>, window_ns: u64) -> Result<Report, Defect> {
        report(subject, &reading.queue, window_ns)
    }

    fn learn(&self, memory: &mut Self::Memory, reading: &Reading<'_>, _: Learn) {
        *memory = Some((reading.netns, UnixView::clone(&reading.queue)));
    }
}

/// Whose it is, where that was found; else the socket itself.
fn subject(queue: &UnixView, facts: &Facts<'_>) -> Subject {
    let socket = || Service { kind: Kind::Address, namespace: None, name: queue.last.name.clone() };
    Subject::server(queue.last.owner.as_ref().map_or_else(socket, |owner| facts.owners.service(owner)), None)
}

fn report(subject: &Subject, queue: &UnixView, window_ns: u64) -> Result<Report, Defect> {
    let last = &queue.last;
    let sample = Sample { window_ns, n: u64::from(queue.peak).max(1) };
    let most = |name, n: u32, what, limit: u32| sample.at_most(name, n.into(), Measure::Count(what), limit.into());
    let peak = most("waiting for accept, most", queue.peak, "connections", last.max)?;
    let now = most("at the last poll", last.backlog, "connections", last.max)?;
    let full = most("full", queue.full, "polls", FULL_POLLS - 1)?;
    let owner = last.owner.as_ref().map(Place::from);
    let place = match &owner {
        Some(place @ Place::Process { pid, .. }) => {
            Where::new("accept loop, workers and backlog of", place, &format!("ss -lxp; top -H -p {pid}"))?
        }
        _ => {
            let socket = Place::File(last.name.to_string());
            Where::new("accept loop, workers and backlog behind", &socket, "ss -lxp")?
        }
    };
    let polls = full.quantity();
    Parts {
        class: None,
        what: What::new(&peak, "wait in the queue of a UNIX socket, which is full")?,
        place,
        why: Why::new(polls, "a second apart found it full: the next caller waits in connect, or gets EAGAIN")?,
        origin: Origin::new(subject, Confidence::new(if owner.is_some() { 0.8 } else { 0.6 })?)?,
        evidence: [peak, now, full],
        more: Vec::new(),
        ruled_out: vec![RuledOut::new("a burst", polls, "found it full, a second apart")?],
        confidence: 0.9,
    }
    .report()
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
