use std::net::{Ipv4Addr, SocketAddr};

use crate::{
    incident::{alarm::Ended, decisions::Happened},
    lab::Lab,
    report::alert::MAX_TEXT,
};
use weir_engine::{HalfOpen, Listener, NamespacePoll, NetCounters, Owner, Polled};

fn listener(port: u16, backlog: u32) -> Listener {
    let owner = (backlog > 3).then(|| Owner { pid: 7, comm: "web".into() });
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    Listener { address, inode: port.into(), backlog, max: 3, owner, half_open: None }
}

/// Overflows so far, and two listeners.
fn namespace(counters: NetCounters, backlog: u32) -> Vec<Polled> {
    let listeners = vec![listener(80, backlog), listener(81, 0)];
    vec![Polled::Namespace(NamespacePoll { netns: 1, counters, listeners, ..NamespacePoll::default() })]
}

fn overflows(n: u64) -> NetCounters {
    NetCounters { listen_overflows: n, listen_drops: n, ..NetCounters::default() }
}

/// So many more each second.
fn run(lab: &mut Lab, seconds: u64, backlog: u32, mut counters: impl FnMut(u64) -> NetCounters) {
    for _ in 0..seconds {
        lab.polls = namespace(counters(lab.now_s + 1), backlog);
        lab.run(1, |_, _| ());
    }
}

#[test]
fn ten_at_once_are_a_page_and_name_the_listener() {
    let mut lab = Lab::new([]).only("listen_overflow");
    run(&mut lab, 10, 1, |_| overflows(5));
    run(&mut lab, 5, 4, |second| overflows(5 + 4 * (second - 10)));
    assert_eq!(lab.happened(), [(15, Happened::Raised)]);
    let alert = &lab.events[0].1.alert;
    let document = alert.document();
    assert_eq!(
        (document.signal, document.severity, document.class),
        ("listen_overflow", "critical", Some("accept queue"))
    );
    assert_eq!(document.server.as_deref(), Some("web:80"));
    assert_eq!(document.what, "20 SYNs were dropped: the accept queue is full (4 of 3) (20 in 5 s, expected 0 SYNs)");
    assert_eq!(document.r#where, "accept loop, workers and backlog of web (pid 7): ss -ltnp 'sport = :80'");
    assert!(alert.text().chars().count() <= MAX_TEXT, "{}", alert.text());
    run(&mut lab, 20, 0, |_| overflows(25));
    assert_eq!(lab.happened()[1..], [(30, Happened::Resolved(Ended::Cleared))]);
    assert_eq!(lab.decider.incidents().lost(), Default::default(), "nothing rejected");
}

/// It accepts again, and drops its last while no poll sees its queue full.
#[test]
fn what_the_known_listener_drops_last_is_not_the_hosts() {
    let mut lab = Lab::new([]).only("listen_overflow");
    run(&mut lab, 10, 1, |_| overflows(5));
    run(&mut lab, 10, 4, |second| overflows(5 + 4 * (second - 10)));
    run(&mut lab, 5, 1, |second| overflows(45 + 4 * (second - 20)));
    run(&mut lab, 20, 0, |_| overflows(65));
    assert_eq!(lab.happened(), [(15, Happened::Raised), (40, Happened::Resolved(Ended::Cleared))]);
    assert_eq!(lab.subjects().len(), 1, "{:?}", lab.subjects());
}

#[test]
fn a_single_burst_of_a_few_stays_silent_and_a_few_in_each_window_do_not() {
    let mut lab = Lab::new([]).only("listen_overflow");
    run(&mut lab, 60, 1, |second| overflows(if second < 12 { 0 } else { 3 }));
    assert_eq!(lab.happened(), []);
    run(&mut lab, 10, 4, |second| overflows(3 + (second - 60) / 5));
    assert_eq!(lab.happened(), [(70, Happened::Raised)]);
}

#[test]
fn a_queue_that_is_full_and_drops_nobody_stays_silent() {
    let mut lab = Lab::new([]).only("listen_overflow");
    run(&mut lab, 60, 4, |_| overflows(100));
    assert_eq!(lab.happened(), []);
}

#[test]
fn without_a_culprit_it_is_the_hosts() {
    let mut lab = Lab::new([]).only("listen_overflow");
    run(&mut lab, 5, 0, |second| overflows(20 * second));
    assert_eq!(lab.happened(), [(5, Happened::Raised)]);
    let document = lab.events[0].1.alert.document();
    assert_eq!((document.server.as_deref(), document.origin.node), (None, "this host"));
    assert_eq!(document.r#where, "listeners' queues (Recv-Q over Send-Q), counted in /proc/net/netstat: ss -ltn");
    run(&mut lab, 20, 0, |_| overflows(100));
    assert_eq!(lab.happened()[1..], [(20, Happened::Resolved(Ended::Cleared))]);
}

#[test]
fn cookies_are_a_warning_and_drops_of_the_request_queue_a_page() {
    let cookies = |n| NetCounters { request_queue_cookies: n, syncookies_sent: n, ..NetCounters::default() };
    let mut lab = Lab::new([]).only("listen_overflow");
    run(&mut lab, 20, 0, cookies);
    let document = lab.events[0].1.alert.document();
    assert_eq!((document.severity, document.class), ("warn", Some("request queue")));
    let mut lab = Lab::new([]).only("listen_overflow");
    run(&mut lab, 10, 0, |n| NetCounters { request_queue_drops: 9 * n, ..cookies(n) });
    let document = lab.events[0].1.alert.document();
    assert_eq!((document.severity, document.class), ("critical", Some("request queue")));
    assert_eq!(lab.decider.incidents().lost(), Default::default(), "nothing rejected");
}

/// Some drops of a second, and the request queue of the first listener, most of it one caller's.
fn half_open(drops: u64, count: u32) -> Vec<Polled> {
    let from = Ipv4Addr::new(10, 0, 0, 9).into();
    let half_open = Some(HalfOpen { count, limit: 48, from, of_it: count.saturating_sub(3) });
    let owner = Some(Owner { pid: 7, comm: "web".into() });
    let listeners = vec![Listener { half_open, owner, ..listener(80, 0) }, listener(81, 1)];
    let counters = NetCounters { listen_drops: drops, ..NetCounters::default() };
    vec![Polled::Namespace(NamespacePoll { netns: 1, counters, listeners, ..NamespacePoll::default() })]
}

/// Without cookies there is no counter for them alone.
#[test]
fn half_open_connections_tell_whose_request_queue_is_full_and_of_whom() {
    let mut lab = Lab::new([]).only("listen_overflow");
    for second in 1..=10 {
        lab.polls = half_open(3 * second, 48);
        lab.run(1, |_, _| ());
    }
    assert_eq!(lab.happened(), [(5, Happened::Raised)]);
    let alert = &lab.events[0].1.alert;
    let document = alert.document();
    assert_eq!((document.severity, document.class), ("critical", Some("request queue")));
    assert_eq!((document.server.as_deref(), document.origin.node), (Some("web:80"), "10.0.0.9"));
    let what = "12 SYNs were dropped: the request queue is full (48 half open of 48) (12 in 5 s, expected 0 SYNs)";
    assert_eq!(document.what, what);
    let place = "SYN flood, lost ACKs, or small backlog of web (pid 7): ss -tn state syn-recv sport = :80";
    assert_eq!(document.r#where, place);
    assert!(alert.text().chars().count() <= MAX_TEXT, "{}", alert.text());
    assert_eq!(lab.decider.incidents().lost(), Default::default(), "nothing rejected");
}

#[test]
fn a_queue_with_room_has_nothing_to_do_with_what_is_dropped() {
    let mut lab = Lab::new([]).only("listen_overflow");
    for second in 1..=10 {
        lab.polls = half_open(3 * second, 20);
        lab.run(1, |_, _| ());
    }
    assert_eq!(lab.events[0].1.alert.document().class, Some("dropped"));
}
