use std::net::{Ipv4Addr, SocketAddr};

use weir_abi::{ConnectOutcome, EdgeKey, EdgeRecord, InFlight, ROLE_SERVER, SLOT_LIVE};
use weir_ebpf::histogram::index;

use crate::{
    incident::{alarm::Ended, decisions::Happened, severity::Level},
    lab::{BEGIN_S, Lab, MS, S, abandon, answer, client, connect, server, v4},
    report::alert::MAX_TEXT,
};
use weir_engine::{Degraded, Input, Listener, NamespacePoll, Polled};

mod quiet;

type Records<'a> = &'a mut [(u32, EdgeRecord)];

/// A client and its server on this host.
fn pair() -> [EdgeRecord; 2] {
    let client = client(7, 2);
    [client, server(8, &client)]
}

fn lab(records: impl IntoIterator<Item = EdgeRecord>) -> Lab {
    Lab::new(records).only("hung_request")
}

/// `n` requests that began in this second.
fn ask(record: &mut EdgeRecord, second: u64, n: u64) {
    record.in_flight = record.in_flight.wrapping_add(InFlight::of((BEGIN_S + second) * S).wrapping_mul(n));
}

/// Those that began in that second are answered or left in this one.
fn end(record: &mut EdgeRecord, began: u64, n: u64) {
    record.in_flight = record.in_flight.wrapping_sub(InFlight::of((BEGIN_S + began) * S).wrapping_mul(n));
}

fn answer_after(record: &mut EdgeRecord, n: u64, ns: u64) {
    record.latency.buckets[index(ns)] += n as u32;
    record.latency.sum_ns += n * ns;
}

/// Ten connections, on which requests take a millisecond.
fn healthy(_: u64, records: Records<'_>) {
    for (_, record) in records {
        if record.opened == 0 {
            connect(record, ConnectOutcome::Ok, 10);
        }
        answer(record, 40);
    }
}

/// No request is answered any more from here on; the last ones wait.
fn hang(begin: u64, n: u64) -> impl FnMut(u64, Records<'_>) {
    move |second, records| {
        if second == begin {
            records.iter_mut().for_each(|(_, record)| ask(record, second, n));
        }
    }
}

#[test]
fn requests_that_hang_raise_and_clear() {
    let mut lab = lab(pair());
    lab.run(60, healthy).run(60, hang(61, 8));
    lab.run(40, |second, records| {
        if second == 121 {
            records.iter_mut().for_each(|(_, record)| end(record, 61, 8));
        }
        healthy(second, records);
    });
    let happened = lab.happened();
    assert_eq!(happened, [(100, Happened::Raised), (135, Happened::Resolved(Ended::Cleared))]);
    let alert = &lab.events[0].1.alert;
    assert_eq!(alert.severity().level(), Level::Warn, "nothing but their age speaks for it");
    let document = alert.document();
    assert_eq!((document.signal, document.class), ("hung_request", Some("no answer")));
    assert_eq!((document.client.as_deref(), document.server.as_deref()), (Some("app"), Some("redis:6379")));
    assert!(document.what.starts_with("39 s is the mean age of 8 requests on 10 connections (8 in 5 s, normal"));
    assert!(document.r#where.contains("redis (pid 8): ps -L"), "{}", document.r#where);
    assert_eq!(document.why, "80% of the connections are held by requests that get no answer");
    assert_eq!(
        document.ruled_out[0],
        "lost packets: 0 segments retransmitted, not counting those of a full accept queue"
    );
    assert_eq!(document.ruled_out[1], "queue: 8 requests of these the server has read");
    assert!(alert.text().chars().count() <= MAX_TEXT, "{}", alert.text());
    assert_eq!(lab.decider.incidents().lost(), Default::default());
}

#[test]
fn a_few_of_many_are_a_ticket() {
    let mut lab = lab(pair());
    let mut some = hang(61, 3);
    lab.run(60, healthy).run(60, |second, records| {
        some(second, records);
        healthy(second, records);
    });
    assert_eq!(lab.happened(), [(100, Happened::Raised)]);
    assert_eq!(lab.events[0].1.alert.severity().level(), Level::Warn);
    assert_eq!(lab.decider.incidents().lost(), Default::default());
}

#[test]
fn what_becomes_of_them() {
    let class = |after: fn(Records<'_>)| {
        let mut lab = lab(pair());
        lab.run(60, healthy).run(20, |second, records| {
            if second == 61 {
                ask(&mut records[0].1, second, 8);
            }
            if second > 61 {
                after(records);
            }
        });
        assert_eq!(lab.decider.incidents().lost(), Default::default());
        let document = lab.events[0].1.alert.document();
        (document.class, document.origin.node.to_owned())
    };
    assert_eq!(class(|_| ()), (Some("not read"), "redis".into()));
    let lost = |records: Records<'_>| records[0].1.retransmitted_segments += 1;
    assert_eq!(class(lost), (Some("lost on the way"), "the path to redis".into()));
    let answers_lost = |records: Records<'_>| {
        records[1].1.retransmitted_segments += 1;
        if records[1].1.latency.buckets[index(2 * MS)] == 0 {
            answer_after(&mut records[1].1, 8, 2 * MS);
        }
    };
    assert_eq!(class(answers_lost).0, Some("lost on the way"));
}

/// SYNs are retransmitted while the accept queue is full, in the window after it was full too.
#[test]
fn a_full_accept_queue_loses_no_packets() {
    let full = |backlog| {
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 6379));
        let listeners = vec![Listener { address, inode: 5, backlog, max: 8, owner: None, half_open: None }];
        vec![Polled::Namespace(NamespacePoll { netns: 1, listeners, ..NamespacePoll::default() })]
    };
    let mut lab = lab(pair());
    lab.run(60, healthy);
    lab.polls = full(9);
    let stopped = |second: u64, records: Records<'_>| {
        if second == 61 {
            ask(&mut records[0].1, second, 8);
        }
        records[0].1.retransmitted_segments += 10;
    };
    lab.run(5, stopped);
    lab.polls = full(0);
    lab.run(5, stopped).run(15, |_, _| ());
    assert_eq!(lab.events[0].1.alert.document().class, Some("not read"));
    assert_eq!(lab.decider.incidents().lost(), Default::default());
}

/// The kernel waits longer each time before it sends a segment again.
#[test]
fn what_was_sent_again_is_remembered() {
    let mut lab = lab(pair());
    lab.run(60, healthy).run(40, |second, records| {
        match second {
            61 => ask(&mut records[0].1, second, 8),
            62..70 => records[0].1.retransmitted_segments += 8,
            _ => {}
        };
    });
    let classes: Vec<_> = lab.events.iter().map(|(_, event)| event.alert.document().class).collect();
    assert_eq!(classes, [Some("lost on the way")]);
    let firing = lab.decider.incidents().firing().map(|alert| alert.document().class).collect::<Vec<_>>();
    assert!(firing.contains(&Some("lost on the way")), "{firing:?}");
}

#[test]
fn of_a_server_elsewhere_and_of_clients_elsewhere() {
    let mut lab = lab([client(7, 2)]);
    lab.run(60, healthy).run(60, hang(61, 8));
    assert_eq!(lab.events[0].1.alert.document().class, Some("no answer"));
    assert_eq!(lab.decider.incidents().lost(), Default::default());
    let key = EdgeKey { tgid: 8, netns: 1, role: ROLE_SERVER, address: v4(9), listen_port: 80, ..EdgeKey::default() };
    let mut lab = self::lab([EdgeRecord { key, state: SLOT_LIVE, local_address: v4(2), ..EdgeRecord::EMPTY }]);
    lab.run(60, healthy).run(60, hang(61, 8));
    let document = lab.events[0].1.alert.document();
    assert_eq!((document.class, document.client.as_deref()), (Some("no answer"), Some("10.0.0.9")));
    assert_eq!(lab.decider.incidents().lost(), Default::default());
}

/// Callers of callers: a server that hangs in its own calls is where its callers are stuck.
#[test]
fn callers_of_the_client_are_named() {
    let key = EdgeKey { tgid: 7, netns: 1, role: ROLE_SERVER, address: v4(9), listen_port: 80, ..EdgeKey::default() };
    let mut callers = EdgeRecord { key, state: SLOT_LIVE, local_address: v4(1), ..EdgeRecord::EMPTY };
    callers.comm[..3].copy_from_slice(b"app");
    let [one, its_server] = pair();
    let mut lab = lab([one, its_server, callers]);
    lab.run(60, healthy).run(20, hang(61, 8));
    let whys: Vec<_> = lab.events.iter().map(|(_, event)| event.alert.document().why).collect();
    assert_eq!(lab.events[0].0, 75, "they speak for it");
    assert_eq!(lab.events[0].1.alert.severity().level(), Level::Critical);
    assert!(whys.contains(&"8 requests of app's own callers are under way, and may wait for these".into()), "{whys:?}");
}

#[test]
fn a_long_hang_does_not_become_normal() {
    let mut lab = lab(pair());
    lab.run(60, healthy).run(1800, hang(61, 8));
    assert_eq!(lab.happened(), [(100, Happened::Raised)]);
}
