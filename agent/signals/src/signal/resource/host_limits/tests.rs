use crate::{incident::decisions::Happened, lab::Lab, report::alert::MAX_TEXT};
use weir_engine::{ConntrackPoll, NamespacePoll, NetCounters, Polled, PortsPoll};

fn run(lab: &mut Lab, seconds: u64, mut polls: impl FnMut(u64) -> Vec<Polled>) {
    for _ in 0..seconds {
        lab.polls = polls(lab.now_s + 1);
        lab.run(1, |_, _| ());
    }
}

fn namespace(counters: NetCounters, time_wait: u64) -> Polled {
    Polled::Namespace(NamespacePoll { netns: 1, counters, time_wait, ..NamespacePoll::default() })
}

fn conntrack(count: u64, dropped: u64) -> Vec<Polled> {
    let poll = ConntrackPoll { netns: 1, count, max: 1000, dropped, ..ConntrackPoll::default() };
    vec![namespace(NetCounters::default(), 0), Polled::Conntrack(poll)]
}

fn time_wait(n: u64, overflow: u64) -> Vec<Polled> {
    let counters = NetCounters { time_wait_overflow: overflow, ..NetCounters::default() };
    let ports = PortsPoll { netns: 1, range: (1024, 65535), time_wait_limit: 100_000, ..PortsPoll::default() };
    vec![namespace(counters, n), Polled::Ports(ports)]
}

/// The only signal that was raised, and how bad it is; its text can be read.
fn raised(lab: &Lab) -> (&'static str, &'static str) {
    assert_eq!(lab.decider.incidents().lost(), Default::default(), "nothing rejected");
    let (_, event) = lab.events.first().expect("an incident");
    assert_eq!((event.happened, lab.events.len()), (Happened::Raised, 1), "{:?}", lab.happened());
    assert!(event.alert.text().chars().count() <= MAX_TEXT, "{}", event.alert.text());
    let document = event.alert.document();
    (document.signal, document.severity)
}

#[test]
fn connection_tracking_that_is_full_is_a_page_and_nearly_full_a_warning() {
    let mut lab = Lab::new([]);
    run(&mut lab, 10, |_| conntrack(900, 0));
    assert_eq!(raised(&lab), ("conntrack_full", "warn"));
    let document = lab.events[0].1.alert.document();
    assert_eq!(
        document.what,
        "90% of the 1000 entries of the connection tracking table are in use (1 in 5 s, at most 85%)"
    );
    let mut lab = Lab::new([]);
    run(&mut lab, 5, |second| conntrack(1000, second));
    assert_eq!(raised(&lab), ("conntrack_full", "critical"));
    let mut lab = Lab::new([]);
    run(&mut lab, 60, |_| conntrack(700, 12));
    assert_eq!(lab.happened(), []);
}

#[test]
fn many_in_time_wait_are_well_until_their_limit() {
    let mut lab = Lab::new([]);
    run(&mut lab, 60, |_| time_wait(60_000, 3));
    assert_eq!(lab.happened(), []);
    run(&mut lab, 10, |_| time_wait(90_000, 3));
    assert_eq!(raised(&lab), ("time_wait", "warn"));
    let mut lab = Lab::new([]);
    run(&mut lab, 10, |second| time_wait(100, second));
    assert_eq!(raised(&lab), ("time_wait", "warn"));
}

#[test]
fn memory_and_datagrams() {
    let counters = |second, n| match n {
        0 => NetCounters { prune_called: 30 * second, receive_queue_drops: 3 * second, ..NetCounters::default() },
        1 => NetCounters { memory_pressures: second, ..NetCounters::default() },
        _ => NetCounters { udp_receive_errors: 2 * second, ..NetCounters::default() },
    };
    for (n, name) in [(0, "tcp_memory"), (1, "tcp_memory"), (2, "udp_queue")] {
        let mut lab = Lab::new([]);
        run(&mut lab, 10, |second| vec![namespace(counters(second, n), 0)]);
        assert_eq!(raised(&lab), (name, "warn"));
    }
    // One slow reader, whose own queue is cut.
    let mut lab = Lab::new([]);
    run(&mut lab, 60, |second| vec![namespace(NetCounters { prune_called: 3 * second, ..NetCounters::default() }, 0)]);
    assert_eq!(lab.happened(), []);
    // Once, and long ago.
    let mut lab = Lab::new([]);
    run(&mut lab, 60, |second| vec![namespace(counters(u64::from(second > 20), 0), 0)]);
    assert_eq!(lab.happened(), []);
}
