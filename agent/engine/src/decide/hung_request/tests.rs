use std::net::{Ipv4Addr, SocketAddr};

use weir_abi::{ConnectOutcome, EdgeKey, EdgeRecord, InFlight, ROLE_SERVER, SLOT_LIVE};
use weir_ebpf::histogram::index;

use crate::{
    Degraded, Input, Listener, NamespacePoll, Polled,
    decide::{
        Happened,
        alarm::Ended,
        alert::MAX_TEXT,
        lab::{BEGIN_S, Lab, MS, S, abandon, answer, client, connect, server, v4},
        severity::Level,
    },
};

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

/// Nobody gets an answer any more from here on; the last requests wait.
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
    assert!(document.what.starts_with("39 s is how long 8 requests wait on 10 connections (8 in 5 s, normal"));
    assert!(document.r#where.contains("redis (pid 8): ps -L"), "{}", document.r#where);
    assert_eq!(document.why, "80% of the connections are held by requests that nobody answers");
    assert_eq!(document.ruled_out[0], "lost packets: 0 segments were sent again but for a full accept queue");
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

/// SYNs are sent again for want of room in the accept queue, in the window after it was full too.
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

/// Who waits for whom: a server that hangs in its own calls is where its callers are stuck.
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

/// Ten requests of 25 s each: how long they take is how long they always took.
#[test]
fn long_polls_never_hang() {
    let mut lab = lab(pair());
    lab.run(600, |second, records| {
        for (_, record) in records.iter_mut() {
            if second == 1 {
                connect(record, ConnectOutcome::Ok, 50);
            }
            if second % 25 == 0 && second > 25 {
                answer_after(record, 50, 25 * S);
                end(record, second - 25, 50);
            }
            if second % 25 == 0 && second < 500 {
                ask(record, second, 50);
            }
        }
    });
    assert_eq!(lab.happened(), []);
}

/// Consumers that wait for their next item: long at times, and then not at all.
#[test]
fn waits_that_were_long_before_are_usual() {
    let mut lab = lab(pair());
    // Half a minute without an item, while it is learned what is normal.
    lab.run(5, healthy).run(30, |second, records| {
        for (_, record) in records.iter_mut() {
            match second {
                6 => ask(record, second, 10),
                34 => {
                    end(record, 6, 10);
                    answer_after(record, 10, 28 * S);
                }
                _ => {}
            }
        }
    });
    lab.run(100, healthy).run(45, hang(136, 10));
    assert_eq!(lab.happened(), [], "less than twice as long");
}

/// A queue whose items always came at once, and its ten consumers, which ask anew after 20 s without one.
#[test]
fn a_queue_that_runs_out_of_items_is_no_hang() {
    let mut lab = lab(pair());
    lab.run(60, healthy).run(600, |second, records| {
        for (_, record) in records.iter_mut() {
            if second % 20 == 1 {
                if second > 61 {
                    end(record, second - 20, 10);
                    answer_after(record, 10, 20 * S);
                }
                ask(record, second, 10);
            }
        }
    });
    assert_eq!(lab.happened(), []);
}

/// A log shipper beside requests, and a connection that says good-bye and stays open.
#[test]
fn what_is_never_answered_is_usual() {
    let mut lab = lab(pair());
    lab.run(600, |second, records| {
        if second % 100 == 3 && second < 300 {
            // One more each time.
            records.iter_mut().for_each(|(_, record)| ask(record, second, 1));
        }
        if second == 1 {
            records.iter_mut().for_each(|(_, record)| ask(record, second, 5));
        }
        healthy(second, records);
    });
    assert_eq!(lab.happened(), []);
    // Nothing is ever answered here.
    let mut lab = self::lab(pair());
    lab.run(600, |second, records| {
        records.iter_mut().for_each(|(_, record)| {
            connect(record, ConnectOutcome::Ok, 1);
            ask(record, second, 1);
        });
    });
    assert_eq!(lab.happened(), []);
}

/// One connection that waits is a heartbeat, a report, an item: until it has waited for a minute.
#[test]
fn one_alone_must_be_a_minute_old() {
    let mut lab = lab(pair());
    let one = |second: u64, records: Records<'_>| {
        for (_, record) in records {
            if record.opened == 0 {
                connect(record, ConnectOutcome::Ok, 1);
            }
            if second <= 60 {
                answer(record, 10);
            } else if second == 61 {
                ask(record, second, 1);
            }
        }
    };
    lab.run(150, one);
    assert_eq!(lab.happened(), [(130, Happened::Raised)]);
}

/// The client is stopped: its answers are there, and it does not read them.
#[test]
fn a_client_that_does_not_read_has_no_hung_requests() {
    let mut lab = lab(pair());
    lab.run(60, healthy).run(60, |second, records| {
        if second == 61 {
            ask(&mut records[0].1, second, 8);
            answer_after(&mut records[1].1, 8, MS);
        }
    });
    assert_eq!(lab.happened(), []);
}

#[test]
fn slow_answers_and_short_stalls_are_no_hang() {
    let mut lab = lab(pair());
    lab.run(60, healthy).run(60, |second, records| {
        for (_, record) in records.iter_mut() {
            // Three seconds for each of ten, a thousandfold of normal.
            if second >= 64 {
                answer_after(record, 3, 3 * S);
                end(record, second - 3, 3);
            }
            ask(record, second, 3);
        }
    });
    assert_eq!(lab.happened(), []);
    let mut lab = self::lab(pair());
    lab.run(60, healthy).run(9, hang(61, 8)).run(60, |second, records| {
        if second == 70 {
            records.iter_mut().for_each(|(_, record)| end(record, 61, 8));
        }
        healthy(second, records);
    });
    assert_eq!(lab.happened(), [], "nine seconds are one window");
}

/// Callers give up after 100 ms, and ask again.
#[test]
fn who_gives_up_does_not_hang() {
    let mut lab = lab(pair());
    lab.run(60, healthy).run(60, |second, records| {
        let (_, client) = &mut records[0];
        abandon(client, 20, 100 * MS);
        connect(client, ConnectOutcome::Ok, 20);
        client.closed += 20;
        ask(client, second, 2);
        if second > 61 {
            end(client, second - 1, 2);
            abandon(client, 2, 100 * MS);
        }
    });
    assert_eq!(lab.happened(), []);
}

#[test]
fn what_cannot_be_told_says_nothing() {
    // Before it is known what is normal.
    let mut lab = lab(pair());
    lab.run(10, healthy).run(60, hang(11, 8));
    assert_eq!(lab.happened(), []);
    // Requests that overlap.
    let mut lab = self::lab(pair());
    lab.run(60, healthy).run(60, |second, records| {
        records[0].1.multiplexed_set = 1;
        hang(61, 8)(second, records);
    });
    assert_eq!(lab.happened(), []);
    // A sample of sockets.
    let mut lab = self::lab(pair());
    lab.run(60, healthy);
    lab.engine.take(Input::Degraded(Degraded { cpu_step: 5, ..Degraded::default() }));
    lab.run(60, hang(61, 8));
    assert_eq!(lab.happened(), []);
}

/// weir begins while requests are under way: it has not seen them begin.
#[test]
fn connections_seen_in_mid_life_are_no_hang() {
    let mut lab = lab(pair());
    lab.run(120, |second, records| {
        for (_, record) in records.iter_mut() {
            if second == 1 {
                (record.opened, record.partial) = (30, 30);
            }
            // From half a second to three, as ever.
            answer_after(record, 6, S / 2);
            answer_after(record, 6, 3 * S);
            if second > 3 {
                end(record, second - 3, 6);
            }
            ask(record, second, 6);
        }
    });
    assert_eq!(lab.happened(), []);
}

#[test]
fn a_long_hang_does_not_become_normal() {
    let mut lab = lab(pair());
    lab.run(60, healthy).run(1800, hang(61, 8));
    assert_eq!(lab.happened(), [(100, Happened::Raised)]);
}
