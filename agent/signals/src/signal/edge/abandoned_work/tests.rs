use proptest::prelude::*;
use weir_abi::{ConnectOutcome, EdgeRecord};
use weir_ebpf::histogram::index;

use crate::{
    decider::Decider,
    incident::{alarm::Ended, decisions::Happened, severity::Level},
    lab::{Lab, MS, abandon, client, connect, server},
    learn::baseline::Learning,
    report::alert::MAX_TEXT,
};
use weir_engine::{Engine, Input, Schedule, Started, WindowId};

const SIGNAL: &str = "abandoned_work";

/// A client and its server on this host.
fn pair() -> [EdgeRecord; 2] {
    let client = client(7, 2);
    [client, server(8, &client)]
}

/// The server alone: its client is on another host.
fn alone() -> [EdgeRecord; 1] {
    let mut record = server(8, &client(7, 2));
    record.key.peer_tgid = 0;
    [record]
}

/// `n` requests that the server answers after so long.
fn answer(server: &mut EdgeRecord, n: u32, each_ns: u64) {
    server.latency.buckets[index(each_ns)] += n;
    server.latency.sum_ns += u64::from(n) * each_ns;
    if server.opened == 0 {
        connect(server, ConnectOutcome::Ok, 16);
    }
}

/// Callers close after `patience_ns`; the server finds out when its answer meets a reset.
fn too_late(records: &mut [(u32, EdgeRecord)], n: u32, patience_ns: u64, work_ns: u64) {
    match records {
        [(_, client), (_, server)] => {
            abandon(client, n.into(), patience_ns);
            answer(server, n, work_ns);
            server.resets_received += u64::from(n);
        }
        [(_, server)] => {
            answer(server, n, work_ns);
            server.resets_received += u64::from(n);
        }
        _ => panic!("one or two"),
    }
}

fn well(records: &mut [(u32, EdgeRecord)], n: u32) {
    let (server, clients) = records.split_last_mut().expect("a server");
    answer(&mut server.1, n, 20 * MS);
    clients.iter_mut().for_each(|(_, client)| answer(client, n, 20 * MS));
}

fn healthy(_: u64, records: &mut [(u32, EdgeRecord)]) {
    well(records, 20);
}

#[test]
fn answers_for_callers_that_have_left_raise_and_clear() {
    for records in [pair().to_vec(), alone().to_vec()] {
        let mut lab = Lab::new(records).only(SIGNAL);
        lab.run(60, healthy).run(30, |_, records| too_late(records, 10, 100 * MS, 500 * MS)).run(40, healthy);
        assert_eq!(lab.happened(), [(70, Happened::Raised), (105, Happened::Resolved(Ended::Cleared))]);
        let alert = &lab.events[0].1.alert;
        assert_eq!(alert.severity().level(), Level::Warn);
        let document = alert.document();
        assert_eq!((document.signal, document.class), (SIGNAL, Some("answered too late")));
        assert_eq!((document.client.as_deref(), document.server.as_deref()), (None, Some("redis:6379")));
        assert_eq!(document.origin.node, "redis:6379", "which has become slow");
        assert!(document.r#where.contains("redis (pid 8)"), "{}", document.r#where);
        assert!(document.why.starts_with("5 s/s"), "ten a second, half a second each: {}", document.why);
        assert!(alert.text().chars().count() <= MAX_TEXT, "{}", alert.text());
        assert_eq!(lab.decider.incidents().lost(), Default::default());
    }
}

/// Callers that reset, or a server that notices: rounds are broken, here one in five.
#[test]
fn rounds_broken_by_callers_raise() {
    for records in [pair().to_vec(), alone().to_vec()] {
        let mut lab = Lab::new(records).only(SIGNAL);
        lab.run(60, healthy).run(30, |_, records| {
            well(records, 16);
            let (server, clients) = records.split_last_mut().expect("a server");
            server.1.rounds_broken += 4;
            server.1.unanswered_ns += 4 * 100 * MS;
            clients.iter_mut().for_each(|(_, client)| abandon(client, 4, 100 * MS));
        });
        assert_eq!(lab.happened(), [(70, Happened::Raised)]);
        let document = lab.events[0].1.alert.document();
        assert_eq!(document.class, Some("broken off"));
        assert_ne!(document.origin.node, "redis:6379", "which is as fast as ever");
        assert_eq!(lab.decider.incidents().lost(), Default::default());
    }
}

/// PostgreSQL's Terminate and TLS's close_notify open a round that is not answered, or that the server answers into a reset:
/// short connections instead of pooled ones make many.
#[test]
fn good_byes_are_no_work() {
    for records in [pair().to_vec(), alone().to_vec()] {
        let mut lab = Lab::new(records).only(SIGNAL);
        lab.run(60, healthy).run(60, |second, records| {
            well(records, 20);
            let (server, clients) = records.split_last_mut().expect("a server");
            server.1.rounds_broken += 10;
            server.1.unanswered_ns += 10 * MS / 20;
            clients.iter_mut().for_each(|(_, client)| abandon(client, 10, MS / 20));
            if second > 90 {
                answer(&mut server.1, 10, MS / 10);
                server.1.resets_received += 20;
            }
        });
        assert_eq!(lab.happened(), []);
    }
}

/// A server whose connections always end in resets is slow for a while, and no caller leaves.
#[test]
fn resets_as_a_habit_are_normal() {
    let mut lab = Lab::new(alone()).only(SIGNAL);
    let second = |work_ns: u64| {
        move |_: u64, records: &mut [(u32, EdgeRecord)]| {
            answer(&mut records[0].1, 20, work_ns);
            records[0].1.resets_received += 5;
        }
    };
    lab.run(60, second(20 * MS)).run(60, second(200 * MS));
    assert_eq!(lab.happened(), []);
}

/// Half-closed callers shut down their sending side, wait, and take the answer.
#[test]
fn callers_that_only_stop_sending_have_not_left() {
    let mut lab = Lab::new(pair()).only(SIGNAL);
    lab.run(60, healthy).run(60, |_, records| {
        answer(&mut records[0].1, 20, 500 * MS);
        answer(&mut records[1].1, 20, 500 * MS);
        (records[0].1.closed, records[1].1.closed) = (records[0].1.closed + 20, records[1].1.closed + 20);
    });
    assert_eq!(lab.happened(), []);
}

/// Clients give up in the server's accept queue, where it does no work for them; and clients that are killed.
#[test]
fn what_the_server_has_not_read_is_no_work() {
    let mut lab = Lab::new(pair()).only(SIGNAL);
    lab.run(60, healthy).run(60, |_, records| {
        well(records, 5);
        abandon(&mut records[0].1, 50, 500 * MS);
    });
    assert_eq!(lab.happened(), []);
    let mut lab = Lab::new(pair()).only(SIGNAL);
    lab.run(60, healthy).run(60, |second, records| {
        well(records, 20);
        if second == 70 {
            too_late(records, 30, 100 * MS, 200 * MS);
        }
    });
    assert_eq!(lab.happened(), [], "one window");
}

#[test]
fn crashes_few_requests_and_overlapping_ones_say_nothing() {
    let mut lab = Lab::new(pair()).only(SIGNAL);
    lab.run(60, healthy).run(30, |_, records| {
        well(records, 10);
        // The server closes: its callers see a broken round.
        records[0].1.rounds_broken += 10;
        records[0].1.unanswered_ns += 10 * 100 * MS;
        abandon(&mut records[1].1, 10, 100 * MS);
    });
    lab.run(30, |_, records| too_late(records, 3, 100 * MS, 500 * MS));
    assert_eq!(lab.happened(), []);
    let mut lab = Lab::new(pair()).only(SIGNAL);
    lab.run(60, healthy).run(30, |_, records| {
        records[1].1.multiplexed_set = 1;
        too_late(records, 10, 100 * MS, 500 * MS);
    });
    assert_eq!(lab.happened(), []);
}

#[test]
fn what_was_always_so_is_normal() {
    let mut lab = Lab::new(pair()).only(SIGNAL);
    lab.run(300, |_, records| {
        well(records, 20);
        too_late(records, 5, 100 * MS, 500 * MS);
    });
    assert_eq!(lab.happened(), []);
}

proptest! {
    #[test]
    fn nothing_panics(windows in prop::collection::vec((any::<u64>(), any::<[[u64; 7]; 2]>()), 0..40)) {
        let mut engine = Engine::new([Schedule::Tumbling { span_ns: 1 }]);
        engine.take(Input::Started(Started::default()));
        let mut decider = Decider::new(Learning::of(0));
        for (at_ns, ends) in windows {
            for (slot, mut record, [abandoned, broken, resets, unanswered_ns, in_flight, sum_ns, answered]) in
                (11..).zip(pair()).zip(ends).map(|((slot, record), end)| (slot, record, end))
            {
                (record.rounds_abandoned, record.rounds_broken, record.resets_received) = (abandoned, broken, resets);
                (record.unanswered_ns, record.in_flight) = (unanswered_ns, in_flight);
                for times in [&mut record.latency, &mut record.receive_queue_wait] {
                    (times.sum_ns, times.buckets[20]) = (sum_ns, answered as u32);
                }
                engine.take(Input::Edge { slot, record: &record });
            }
            engine.take(Input::Tick { monotonic_ns: at_ns, unix_ns: at_ns });
            for event in decider.window(at_ns, &engine.snapshot(WindowId::FIRST)).events {
                prop_assert!(event.alert.text().chars().count() <= MAX_TEXT);
            }
        }
        prop_assert_eq!(decider.incidents().lost().rejected, [0; 8]);
    }
}
