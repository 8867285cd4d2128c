use weir_abi::{ConnectOutcome, EdgeRecord};
use weir_ebpf::histogram::index;

use crate::{
    incident::{alarm::Ended, decisions::Happened, severity::Level},
    lab::{Lab, MS, client, connect, server},
    report::alert::MAX_TEXT,
};

/// A client and its server on this host.
fn pair() -> [EdgeRecord; 2] {
    let client = client(7, 2);
    [client, server(8, &client)]
}

/// `n` requests, each of which waits and is worked on for so long.
fn serve(records: &mut [(u32, EdgeRecord)], n: u32, wait_ns: u64, work_ns: u64) {
    let [(_, client), (_, server)] = records else { panic!("a pair") };
    let each = [
        (&mut client.latency, wait_ns + work_ns),
        (&mut server.latency, work_ns),
        (&mut server.receive_queue_wait, wait_ns),
    ];
    for (times, ns) in each {
        times.buckets[index(ns)] += n;
        times.sum_ns += u64::from(n) * ns;
    }
    for record in [client, server] {
        if record.opened == 0 {
            connect(record, ConnectOutcome::Ok, 1);
        }
    }
}

fn healthy(_: u64, records: &mut [(u32, EdgeRecord)]) {
    serve(records, 50, MS / 10, 2 * MS);
}

#[test]
fn requests_that_wait_raise_and_clear() {
    let mut lab = Lab::new(pair());
    lab.run(60, healthy).run(30, |_, records| serve(records, 50, 60 * MS, 2 * MS)).run(40, healthy);
    let happened = lab.happened();
    assert_eq!(happened, [(70, Happened::Raised), (105, Happened::Resolved(Ended::Cleared))]);
    let alert = &lab.events[0].1.alert;
    assert_eq!(alert.severity().level(), Level::Critical, "and callers feel it");
    let document = alert.document();
    assert_eq!((document.signal, document.class), ("receive_queue", Some("starved")));
    assert_eq!((document.client.as_deref(), document.server.as_deref()), (None, Some("redis:6379")));
    assert!(document.r#where.contains("redis (pid 8)"), "{}", document.r#where);
    assert_eq!(document.ruled_out.len(), 3);
    assert!(alert.text().chars().count() <= MAX_TEXT, "{}", alert.text());
    assert_eq!(lab.decider.incidents().lost(), Default::default());
}

#[test]
fn why_they_wait() {
    for (n, work_ns, class) in [(80, 2 * MS, "more load"), (50, 40 * MS, "slow work"), (50, 2 * MS, "starved")] {
        let mut lab = Lab::new(pair());
        lab.run(60, healthy).run(20, |_, records| serve(records, n, 60 * MS, work_ns));
        assert_eq!(lab.events[0].1.alert.document().class, Some(class));
    }
}

/// Redis under full load: two thirds of its time is wait, and always were.
#[test]
fn what_was_always_so_is_normal() {
    let mut lab = Lab::new(pair());
    lab.run(300, |_, records| serve(records, 50, 30 * MS, 10 * MS));
    assert_eq!(lab.happened(), []);
}

#[test]
fn slow_work_is_no_wait_and_short_waits_hurt_nobody() {
    let mut lab = Lab::new(pair());
    lab.run(60, healthy).run(60, |_, records| serve(records, 50, MS / 10, 200 * MS));
    lab.run(60, |_, records| serve(records, 50, 4 * MS, 2 * MS));
    assert_eq!(lab.happened(), []);
}

#[test]
fn too_few_and_overlapping_requests_say_nothing() {
    let mut lab = Lab::new(pair());
    lab.run(60, healthy).run(60, |_, records| serve(records, 3, 60 * MS, 2 * MS));
    assert_eq!(lab.happened(), []);
    let mut lab = Lab::new(pair());
    lab.run(60, healthy).run(60, |_, records| {
        records[1].1.multiplexed_set = 1;
        serve(records, 50, 60 * MS, 2 * MS);
    });
    assert_eq!(lab.happened(), []);
}

/// One caller whose requests overlap does not hide the others.
#[test]
fn the_others_are_judged_all_the_same() {
    let other = client(9, 2);
    let [one, its_server] = pair();
    let mut lab = Lab::new([one, its_server, other, server(8, &other)]);
    let second = |records: &mut [(u32, EdgeRecord)], wait_ns| {
        records[3].1.multiplexed_set = 1;
        let (one, other) = records.split_at_mut(2);
        serve(one, 50, wait_ns, 2 * MS);
        serve(other, 50, wait_ns, 2 * MS);
    };
    lab.run(60, |_, records| second(records, MS / 10)).run(20, |_, records| second(records, 60 * MS));
    assert_eq!(lab.happened(), [(70, Happened::Raised)]);
}

/// A pause of 200 ms now and then, of a server that has little to do.
#[test]
fn two_slow_requests_are_a_pause_and_no_queue() {
    let mut lab = Lab::new(pair());
    lab.run(60, |_, records| serve(records, 4, MS / 10, 2 * MS)).run(120, |second, records| {
        serve(records, 4, MS / 10, 2 * MS);
        if second % 5 == 0 {
            serve(records, 2, 200 * MS, 2 * MS);
        }
    });
    assert_eq!(lab.happened(), []);
}

/// Two processes serve, and one of them lets its callers wait.
#[test]
fn the_process_to_look_at_is_the_one_that_waits() {
    let other = client(9, 2);
    let [one, its_server] = pair();
    for slow in [0, 2] {
        let mut lab = Lab::new([one, its_server, other, server(10, &other)]);
        let second = |records: &mut [(u32, EdgeRecord)], wait_ns: u64| {
            let (one, other) = records.split_at_mut(2);
            serve(one, 50, if slow == 0 { wait_ns } else { MS / 10 }, 2 * MS);
            serve(other, 50, if slow == 2 { wait_ns } else { MS / 10 }, 2 * MS);
        };
        lab.run(60, |_, records| second(records, MS / 10)).run(20, |_, records| second(records, 90 * MS));
        let place = lab.events[0].1.alert.document().r#where.to_owned();
        assert!(place.contains(if slow == 0 { "(pid 8)" } else { "(pid 10)" }), "{place}");
    }
}

#[test]
fn one_bad_window_is_none() {
    let mut lab = Lab::new(pair());
    lab.run(60, healthy).run(5, |_, records| serve(records, 50, 60 * MS, 2 * MS)).run(60, healthy);
    assert_eq!(lab.happened(), []);
}
