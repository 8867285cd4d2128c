use weir_abi::{ConnectOutcome, EdgeRecord};
use weir_ebpf::histogram::index;

use crate::decide::{
    Happened,
    alarm::Ended,
    alert::MAX_TEXT,
    lab::{Lab, MS, client, connect, server},
    severity::Level,
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

#[test]
fn one_bad_window_is_none() {
    let mut lab = Lab::new(pair());
    lab.run(60, healthy).run(5, |_, records| serve(records, 50, 60 * MS, 2 * MS)).run(60, healthy);
    assert_eq!(lab.happened(), []);
}
