use std::net::{Ipv4Addr, SocketAddr};

use super::*;
use crate::polled::{HalfOpen, Listener, PollMisses, ReadAt};

const S: u64 = 1_000_000_000;

fn listener(inode: u32, backlog: u32) -> Listener {
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 80));
    Listener { address, inode, backlog, max: 3, owner: None, half_open: None }
}

fn namespace(netns: u32, overflows: u64, listeners: Vec<Listener>) -> Polled {
    let counters = NetCounters { listen_overflows: overflows, ..NetCounters::default() };
    Polled::Namespace(NamespacePoll { netns, counters, listeners, ..NamespacePoll::default() })
}

#[test]
fn counters_are_of_the_window_and_queues_at_their_fullest() {
    let mut host = Host::with_windows(1);
    host.take(0, &namespace(1, 100, vec![listener(7, 0)]));
    assert_eq!(host.view(0).namespaces[0].counters, NetCounters::default(), "what was before is not known");
    for (second, overflows, backlog) in [(1, 101, 2), (2, 110, 4), (3, 110, 1)] {
        host.take(second * S, &namespace(1, overflows, vec![listener(7, backlog)]));
    }
    let view = host.view(0);
    assert_eq!(view.namespaces[0].counters.listen_overflows, 10);
    let seen = &view.namespaces[0].listeners[0];
    assert_eq!((seen.peak, seen.least, seen.last.backlog, seen.was_full()), (4, 0, 1, true));
    host.close_window(0, 5 * S);
    assert_eq!(host.view(0), HostView::default(), "nothing was polled in this one");
    host.take(6 * S, &namespace(1, 111, vec![listener(7, 1)]));
    let view = host.view(0);
    assert_eq!((view.namespaces[0].counters.listen_overflows, view.namespaces[0].listeners[0].peak), (1, 1));
}

/// It is read only where SYNs did not fit.
#[test]
fn a_request_queue_is_as_it_was_when_it_was_longest() {
    let queue = |count| Some(HalfOpen { count, limit: 8, from: Ipv4Addr::LOCALHOST.into(), of_it: count });
    let mut host = Host::with_windows(1);
    for (second, half_open) in [(1, None), (2, queue(8)), (3, queue(5)), (4, None)] {
        host.take(second * S, &namespace(1, 0, vec![Listener { half_open, ..listener(7, 0) }]));
    }
    let seen = &host.view(0).namespaces[0].listeners[0];
    assert_eq!((seen.half_open, seen.requests_fill_it(), seen.last.half_open), (queue(8), true, None));
    host.close_window(0, 5 * S);
    host.take(6 * S, &namespace(1, 0, vec![listener(7, 0)]));
    assert_eq!(host.view(0).namespaces[0].listeners[0].half_open, None);
}

#[test]
fn what_a_counter_lost_by_a_restart_is_nothing() {
    let mut host = Host::with_windows(1);
    host.take(0, &namespace(1, 100, Vec::new()));
    host.take(S, &namespace(1, 3, Vec::new()));
    assert_eq!(host.view(0).namespaces[0].counters.listen_overflows, 0);
}

#[test]
fn differences_say_what_time_they_are_of() {
    let mut host = Host::with_windows(1);
    let process = |run_delay_ns| Polled::Process(ProcessPoll { pid: 7, run_delay_ns, ..ProcessPoll::default() });
    let cgroup = |throttled| {
        let throttle = Some(Throttle { periods: 2 * throttled, throttled, throttled_ns: throttled * S });
        Polled::Cgroup(CgroupPoll { path: "/a".into(), throttle, pressure: None })
    };
    for (at, n) in [(0, 1), (10, 5)] {
        host.take(at * S, &process(n * S));
        host.take(at * S, &cgroup(n));
    }
    let view = host.view(0);
    assert_eq!((view.processes[0].run_delay_ns, view.processes[0].over_ns), (4 * S, 10 * S));
    let throttle = view.cgroups[0].throttle.expect("a limit");
    assert_eq!((throttle.periods, throttle.throttled, throttle.throttled_ns), (8, 4, 4 * S));
}

/// An answer that is late comes with a later tick.
#[test]
fn what_says_when_it_was_read_is_of_that_time() {
    let mut host = Host::with_windows(1);
    for (told_s, read_s) in [(5, 5), (11, 10)] {
        host.take(told_s * S, &Polled::Read(ReadAt { monotonic_ns: read_s * S }));
        host.take(told_s * S, &Polled::Process(ProcessPoll { pid: 7, ..ProcessPoll::default() }));
    }
    assert_eq!(host.view(0).processes[0].over_ns, 5 * S);
}

#[test]
fn what_is_gone_is_forgotten_and_what_is_too_much_is_left_out() {
    let mut host = Host::with_windows(1);
    for pid in 0..10_000 {
        host.take(0, &Polled::Process(ProcessPoll { pid, ..ProcessPoll::default() }));
        host.take(0, &namespace(pid, 0, vec![listener(pid, 1)]));
    }
    assert_eq!((host.processes.known.len(), host.namespaces.known.len()), (MAX_PROCESSES, MAX_NAMESPACES));
    assert!(host.windows[0].queues.listeners_known() <= MAX_NAMESPACES);
    host.close_window(0, 5 * S);
    assert_eq!((host.view(0).processes.len(), host.processes.known.len()), (0, MAX_PROCESSES));
    host.close_window(0, 20 * S);
    assert_eq!(host.processes.known.len(), 0);
}

#[test]
fn misses_are_as_last_told() {
    let mut host = Host::with_windows(1);
    host.take(0, &Polled::Missed(PollMisses { counts: vec![("late".into(), 2)] }));
    host.close_window(0, 60 * S);
    assert_eq!(host.view(0).misses, [("late".into(), 2)]);
}
