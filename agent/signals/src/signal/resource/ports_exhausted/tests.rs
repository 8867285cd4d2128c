use super::*;
use crate::{
    incident::{alarm::Ended, decisions::Happened},
    lab::{Lab, connect},
    report::alert::MAX_TEXT,
};
use weir_engine::{NamespacePoll, Polled, ProcessPoll};

/// A range of 64 ports, and the sockets to one address.
fn polls(to: &str, sockets: u32, time_wait: u32, reuse: u8) -> Vec<Polled> {
    let local = "10.0.0.1".parse().expect("an address");
    let tuple = PortUse { local, remote: to.parse().expect("an address"), sockets, time_wait };
    let ports = PortsPoll {
        netns: 1,
        range: (40_000, 40_063),
        time_wait_reuse: reuse,
        tuples: vec![tuple],
        ..PortsPoll::default()
    };
    vec![
        Polled::Namespace(NamespacePoll { netns: 1, ..NamespacePoll::default() }),
        Polled::Ports(ports),
        Polled::Process(ProcessPoll { pid: 7, netns: 1, ..ProcessPoll::default() }),
    ]
}

fn short(_: u64, records: &mut [(u32, weir_abi::EdgeRecord)]) {
    connect(&mut records[0].1, ConnectOutcome::Ok, 4);
    records[0].1.closed += 4;
}

fn failing(_: u64, records: &mut [(u32, weir_abi::EdgeRecord)]) {
    connect(&mut records[0].1, ConnectOutcome::AddressNotAvailable, 2);
}

fn client() -> weir_abi::EdgeRecord {
    crate::lab::client(7, 2)
}

#[test]
fn the_first_window_without_ports_is_a_page() {
    let mut lab = Lab::new([client()]);
    lab.polls = polls("10.0.0.2:6379", 20, 20, 2);
    lab.run(20, short);
    assert_eq!(lab.happened(), []);
    lab.polls = polls("10.0.0.2:6379", 64, 60, 2);
    lab.run(10, failing);
    assert_eq!(lab.happened(), [(25, Happened::Raised)], "one window suffices");
    let alert = &lab.events[0].1.alert;
    let document = alert.document();
    assert_eq!(
        (document.signal, document.severity, document.class),
        ("ports_exhausted", "critical", Some("ports used"))
    );
    assert_eq!(
        document.what,
        "10 connects found none of the 64 local ports of 10.0.0.1 free to 10.0.0.2:6379 (10 in 5 s, expected 0 connects)"
    );
    assert_eq!(
        document.r#where,
        "connections opened and closed instead of reused by app (pid 7): ss -tan 'dst 10.0.0.2:6379'"
    );
    assert_eq!(document.origin.node, "app");
    for name in ["ports taken", "of its sockets in TIME_WAIT", "closed", "in the range", "attempted"] {
        assert!(document.evidence.iter().any(|item| item.name == name), "{name}");
    }
    assert!(alert.text().chars().count() <= MAX_TEXT, "{}", alert.text());
    lab.polls = polls("10.0.0.2:6379", 20, 20, 2);
    lab.run(30, short);
    assert_eq!(lab.happened()[1..], [(45, Happened::Resolved(Ended::Cleared))]);
    assert_eq!(lab.decider.incidents().lost(), Default::default(), "nothing rejected");
}

#[test]
fn ports_that_are_nearly_used_up_are_a_warning() {
    let mut lab = Lab::new([client()]);
    lab.polls = polls("10.0.0.2:6379", 55, 0, 2);
    lab.run(20, short);
    assert_eq!(lab.happened(), [(10, Happened::Raised)]);
    let document = lab.events[0].1.alert.document();
    assert_eq!(document.severity, "warn");
    assert_eq!(
        document.what,
        "85.9% of the 64 local ports of 10.0.0.1 to 10.0.0.2:6379 are taken (55 in 5 s, at most 80%)"
    );
    assert_eq!(document.why, "9 ports are left: without one, each new connection fails at once");
}

#[test]
fn an_address_that_is_not_local_is_another_fault() {
    let mut lab = Lab::new([client()]);
    lab.polls = polls("10.0.0.2:6379", 16, 0, 2);
    lab.run(10, failing);
    let document = lab.events[0].1.alert.document();
    assert_eq!((document.severity, document.class), ("warn", Some("address not local")));
    assert_eq!(document.ruled_out[0], "local ports: 25% are in use");
}

#[test]
fn without_polls_the_failures_are_said_all_the_same() {
    let mut lab = Lab::new([client()]);
    lab.run(10, failing);
    assert_eq!(lab.happened(), [(5, Happened::Raised)]);
    let document = lab.events[0].1.alert.document();
    assert_eq!((document.severity, document.class), ("warn", Some("unclear")));
    assert_eq!(lab.decider.incidents().lost(), Default::default(), "nothing rejected");
}

#[test]
fn ports_that_are_used_again_and_a_single_failure_stay_silent() {
    let mut lab = Lab::new([client()]);
    // A range full of TIME_WAIT that the kernel gives out again, as on loopback or with tcp_tw_reuse=1.
    lab.polls = polls("10.0.0.2:6379", 64, 64, 1);
    lab.run(60, |second, records| {
        short(second, records);
        connect(&mut records[0].1, ConnectOutcome::AddressNotAvailable, u64::from(second % 30 == 0));
    });
    assert_eq!(lab.happened(), []);
    // And one to another address.
    lab.polls = polls("10.0.0.3:6379", 64, 64, 0);
    lab.run(60, short);
    assert_eq!(lab.happened(), []);
}

#[test]
fn addresses_of_version_6_fit() {
    let mut record = client();
    record.key.address = [0xfd; 16];
    let to = SocketAddr::from((std::net::Ipv6Addr::from([0xfd; 16]), 6379));
    let mut lab = Lab::new([record]);
    lab.polls = polls(&to.to_string(), 64, 60, 2);
    lab.run(5, failing);
    assert_eq!(lab.happened(), [(5, Happened::Raised)], "{:?}", lab.decider.incidents().lost());
}
