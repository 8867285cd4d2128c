use std::net::{Ipv4Addr, SocketAddr};

use weir_abi::{ConnectOutcome, EdgeRecord};

use crate::{
    incident::{alarm::Ended, decisions::Happened},
    lab::{Lab, client, connect, server},
    report::alert::MAX_TEXT,
};
use weir_engine::{Listener, NamespacePoll, Owner, Polled, ProcessPoll};

const SERVER: u32 = 9;

fn lab() -> Lab {
    let calling = client(7, 2);
    let serving = server(SERVER, &calling);
    Lab::new([calling, serving])
}

fn polls(fds: u64, waiting: u32) -> Vec<Polled> {
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 6379));
    let owner = Some(Owner { pid: SERVER, comm: "redis".into() });
    let listeners = vec![Listener { address, inode: 5, backlog: waiting, max: 128, owner, half_open: None }];
    let process =
        ProcessPoll { pid: SERVER, netns: 1, fds: Some(fds), fds_limit: Some(1000), ..ProcessPoll::default() };
    vec![Polled::Namespace(NamespacePoll { netns: 1, listeners, ..NamespacePoll::default() }), Polled::Process(process)]
}

fn calls(_: u64, records: &mut [(u32, EdgeRecord)]) {
    connect(&mut records[0].1, ConnectOutcome::Ok, 1);
    connect(&mut records[1].1, ConnectOutcome::Ok, 1);
}

#[test]
fn none_left_is_a_page_where_connections_wait() {
    let mut lab = lab();
    lab.polls = polls(100, 0);
    lab.run(20, calls);
    assert_eq!(lab.happened(), []);
    lab.polls = polls(1000, 5);
    lab.run(10, calls);
    assert_eq!(lab.happened(), [(30, Happened::Raised)]);
    let alert = &lab.events[0].1.alert;
    let document = alert.document();
    assert_eq!((document.severity, document.class), ("critical", Some("none left")));
    assert_eq!(document.server.as_deref(), Some("redis (pid 9)"));
    assert_eq!(document.what, "100% of its 1000 descriptors are open (1000 in 5 s, at most 85%)");
    assert_eq!(document.why, "5 connections or more wait all the time and are not accepted");
    assert_eq!(document.r#where, "what is not closed in, or the limit of redis (pid 9): ls -l /proc/9/fd");
    assert!(alert.text().chars().count() <= MAX_TEXT, "{}", alert.text());
    lab.polls = polls(100, 0);
    lab.run(15, calls);
    assert_eq!(lab.happened()[1..], [(45, Happened::Resolved(Ended::Cleared))]);
    assert_eq!(lab.decider.incidents().lost(), Default::default(), "nothing rejected");
}

#[test]
fn many_are_a_warning() {
    for (fds, waiting) in [(870, 5), (1000, 0)] {
        let mut lab = lab();
        lab.polls = polls(fds, waiting);
        lab.run(10, calls);
        assert_eq!(lab.events[0].1.alert.document().severity, "warn");
        assert_eq!(lab.decider.incidents().lost(), Default::default(), "nothing rejected");
    }
}

#[test]
fn a_leak_is_told_before_it_ends() {
    let mut lab = lab();
    for second in 0..120 {
        lab.polls = polls(500 + 2 * second, 0);
        lab.run(1, calls);
    }
    let (at, event) = lab.events.first().expect("a warning");
    let document = event.alert.document();
    assert_eq!((document.severity, document.class), ("warn", Some("growing")));
    assert!(*at <= 115 && document.why.contains("from now none is left at this pace"), "{at} {document:?}");
    assert_eq!(lab.decider.incidents().lost(), Default::default(), "nothing rejected");
}

#[test]
fn half_of_them_and_one_window_of_many_stay_silent() {
    let mut lab = lab();
    for second in 0..120 {
        lab.polls = polls(if second / 5 == 7 { 900 } else { 500 + second % 7 }, 5);
        lab.run(1, calls);
    }
    assert_eq!(lab.happened(), []);
}
