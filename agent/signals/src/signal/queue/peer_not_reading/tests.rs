use weir_abi::EdgeRecord;

use crate::{
    incident::{alarm::Ended, decisions::Happened},
    lab::{Lab, answer, client, server},
    report::alert::MAX_TEXT,
};
use weir_engine::{NamespacePoll, Polled, Sender, SendersPoll};

const MIB: u64 = 1 << 20;

/// Four connections of one client, requests answered while `rate` is not zero.
fn pair() -> [EdgeRecord; 2] {
    let mut client = client(7, 2);
    let mut server = server(8, &client);
    for record in [&mut client, &mut server] {
        record.opened = 4;
    }
    [client, server]
}

/// The server's connection `n` to the client, as of second `at`: held up for `limited_ms` of each second since `since`.
fn sender(n: u16, at: u64, since: u64, limited_ms: u64, bytes_per_s: u64) -> Sender {
    let seconds = at - since;
    Sender {
        cookie: n.into(),
        local: "10.0.0.2:6379".parse().expect("an address"),
        remote: format!("10.0.0.1:{}", 40_000 + n).parse().expect("an address"),
        queued_bytes: 2 * MIB as u32,
        unsent_bytes: MIB as u32,
        acked_bytes: bytes_per_s * seconds,
        busy_us: 1_000_000 * seconds,
        receiver_limited_us: 1000 * limited_ms * seconds,
        buffer_limited_us: 0,
        segments: 100 * seconds as u32,
        retransmitted: 0,
        srtt_us: 200,
        min_rtt_us: 100,
    }
}

fn polls(senders: Vec<Sender>) -> Vec<Polled> {
    let namespace = NamespacePoll { netns: 1, ..NamespacePoll::default() };
    vec![Polled::Senders(SendersPoll { netns: 1, senders }), Polled::Namespace(namespace)]
}

fn healthy(lab: &mut Lab, seconds: u64) {
    lab.polls = polls(Vec::new());
    lab.run(seconds, |_, records| records.iter_mut().for_each(|(_, record)| answer(record, 20)));
}

/// `stuck` connections are held up so.
fn held_up(lab: &mut Lab, seconds: u64, stuck: u16, limited_ms: u64, bytes_per_s: u64) {
    let since = lab.now_s;
    for _ in 0..seconds {
        let at = lab.now_s + 1;
        lab.polls = polls((0..stuck).map(|n| sender(n, at, since, limited_ms, bytes_per_s)).collect());
        lab.run(1, |_, _| ());
    }
}

#[test]
fn who_does_not_read_is_told_within_two_windows() {
    let mut lab = Lab::new(pair());
    healthy(&mut lab, 60);
    held_up(&mut lab, 20, 4, 990, 80_000);
    assert_eq!(lab.decider.incidents().lost(), Default::default(), "nothing rejected");
    assert_eq!(lab.happened(), [(70, Happened::Raised)]);
    let alert = &lab.events[0].1.alert;
    let document = alert.document();
    assert_eq!((document.signal, document.class), ("peer_not_reading", Some("client does not read")));
    assert_eq!((document.severity, document.origin.node), ("warn", "app"));
    assert!(alert.text().contains("app (pid 7)") && alert.text().chars().count() <= MAX_TEXT, "{}", alert.text());
    healthy(&mut lab, 20);
    assert_eq!(lab.happened()[1..], [(95, Happened::Resolved(Ended::Cleared))]);
}

/// Nothing is read at all.
#[test]
fn who_has_stopped_reading_is_told_too() {
    let mut lab = Lab::new(pair());
    healthy(&mut lab, 60);
    held_up(&mut lab, 20, 4, 1000, 0);
    assert_eq!(lab.happened(), [(70, Happened::Raised)]);
}

/// A transfer at 100 MiB a second whose window is too small; one that lives on the network; a single one of very many.
#[test]
fn fast_transfers_are_read() {
    for (limited_ms, bytes_per_s) in [(900, 100 * MIB), (300, 80_000)] {
        let mut lab = Lab::new(pair());
        healthy(&mut lab, 60);
        held_up(&mut lab, 30, 4, limited_ms, bytes_per_s);
        assert_eq!(lab.happened(), []);
    }
}

#[test]
fn one_of_many_is_for_who_looks() {
    let mut all = pair();
    all.iter_mut().for_each(|record| record.opened = 40);
    let mut lab = Lab::new(all);
    healthy(&mut lab, 60);
    held_up(&mut lab, 20, 1, 990, 80_000);
    assert_eq!(lab.events[0].1.alert.document().severity, "info");
}

/// Two that follow a log at their own pace, since always.
#[test]
fn who_has_always_been_slow_is_normal() {
    let mut lab = Lab::new(pair());
    for _ in 0..120 {
        let at = lab.now_s + 1;
        lab.polls = polls((0..2).map(|n| sender(n, at, 0, 990, 80_000)).collect());
        lab.run(1, |_, records| records.iter_mut().for_each(|(_, record)| answer(record, 20)));
    }
    assert_eq!(lab.happened(), []);
}

/// Before it is known what is normal nothing is said, and of a namespace that is another's neither.
#[test]
fn what_is_not_known_is_not_said() {
    let mut lab = Lab::new(pair());
    held_up(&mut lab, 30, 4, 990, 80_000);
    assert_eq!(lab.happened(), []);
    let mut lab = Lab::new(pair());
    healthy(&mut lab, 60);
    let since = lab.now_s;
    for _ in 0..20 {
        let at = lab.now_s + 1;
        let mut elsewhere = sender(1, at, since, 990, 80_000);
        elsewhere.local = "10.0.0.9:6379".parse().expect("an address");
        lab.polls = polls(vec![elsewhere]);
        lab.run(1, |_, _| ());
    }
    assert_eq!(lab.happened(), []);
}

/// Another client at the same address reads as fast as it can: it is not taken for the slow one.
#[test]
fn of_two_clients_at_one_address_the_one_that_reads_little_is_meant() {
    let [one, its_server] = pair();
    let mut fast = client(9, 2);
    fast.comm[..4].copy_from_slice(b"fast");
    let mut lab = Lab::new([one, its_server, fast, server(8, &fast)]);
    healthy(&mut lab, 60);
    let since = lab.now_s;
    for _ in 0..20 {
        let at = lab.now_s + 1;
        lab.polls = polls((0..4).map(|n| sender(n, at, since, 990, 80_000)).collect());
        lab.run(1, |_, records| {
            for (n, (_, record)) in records.iter_mut().enumerate() {
                let bytes = if n < 2 { 4 * 80_000 } else { 100 * MIB };
                record.bytes_received += if n % 2 == 0 { bytes } else { 0 };
                record.bytes_sent += if n % 2 == 0 { 0 } else { bytes };
            }
        });
    }
    assert_eq!(lab.subjects().into_iter().collect::<Vec<_>>(), ["app -> redis:6379"]);
}
