use weir_abi::{ConnectOutcome, EdgeRecord, ROLE_SERVER};
use weir_ebpf::histogram::index;

use crate::{
    incident::{alarm::Ended, decisions::Happened, severity::Level},
    lab::{BEGIN_S, Lab, MS, S, client, connect, server},
    report::alert::MAX_TEXT,
};

const SIGNAL: &str = "client_stall";

/// An application, the database that it calls, and its own callers.
fn app() -> [EdgeRecord; 3] {
    let calling = client(7, 2);
    let mut inbound = server(7, &client(5, 3));
    (inbound.key.port, inbound.key.listen_port, inbound.key.role) = (8080, 8080, ROLE_SERVER);
    inbound.comm[..5].copy_from_slice(b"app\0\0");
    [calling, server(8, &calling), inbound]
}

fn spend(record: &mut EdgeRecord, n: u32, each_ns: u64) {
    record.latency.buckets[index(each_ns)] += n;
    record.latency.sum_ns += u64::from(n) * each_ns;
    if record.opened == 0 {
        connect(record, ConnectOutcome::Ok, 16);
    }
}

/// `n` calls, each of which is answered after `away_ns` and read `wait_ns` later, for as many requests of the application's
/// own callers.
fn call(records: &mut [(u32, EdgeRecord)], n: u32, away_ns: u64, wait_ns: u64) {
    let [(_, calling), (_, database), rest @ ..] = records else { panic!("a pair") };
    spend(calling, n, away_ns + wait_ns);
    spend(database, n, away_ns);
    calling.receive_queue_wait.buckets[index(wait_ns)] += n;
    calling.receive_queue_wait.sum_ns += u64::from(n) * wait_ns;
    if let [(_, inbound)] = rest {
        spend(inbound, n, away_ns + wait_ns + MS);
    }
}

fn healthy(_: u64, records: &mut [(u32, EdgeRecord)]) {
    call(records, 50, 5 * MS, MS / 10);
}

#[test]
fn a_caller_that_stalls_is_named_and_clears() {
    let mut lab = Lab::new(app()).only(SIGNAL);
    lab.run(60, healthy).run(30, |_, records| call(records, 50, 5 * MS, 60 * MS)).run(40, healthy);
    assert_eq!(lab.happened(), [(70, Happened::Raised), (105, Happened::Resolved(Ended::Cleared))]);
    let alert = &lab.events[0].1.alert;
    assert_eq!(alert.severity().level(), Level::Critical, "its own callers wait as long");
    let document = alert.document();
    assert_eq!((document.signal, document.class), (SIGNAL, Some("stalled")));
    assert_eq!((document.client.as_deref(), document.server.as_deref()), (None, Some("app")));
    assert_eq!(document.origin.node, "app", "and not the database");
    assert!(document.r#where.contains("app (pid 7)"), "{}", document.r#where);
    let first = document.ruled_out.first();
    assert!(first.is_some_and(|not| not.starts_with("slow dependency")), "{:?}", document.ruled_out);
    assert!(alert.text().chars().count() <= MAX_TEXT, "{}", alert.text());
    assert_eq!(lab.decider.incidents().lost(), Default::default());
}

/// It has no callers: a batch job that is paused hurts itself.
#[test]
fn without_callers_of_its_own_it_does_not_page() {
    let [calling, database, _] = app();
    let mut lab = Lab::new([calling, database]).only(SIGNAL);
    lab.run(60, healthy).run(30, |_, records| call(records, 90, 5 * MS, 60 * MS));
    assert_eq!(lab.happened(), [(70, Happened::Raised)]);
    let alert = &lab.events[0].1.alert;
    assert_eq!((alert.severity().level(), alert.document().class), (Level::Warn, Some("more load")));
    assert_eq!(lab.decider.incidents().lost(), Default::default());
}

/// It stalls whomever it calls: one incident, however many that are, and polls of half a minute beside them hide nothing.
#[test]
fn a_caller_is_one_unit() {
    let [calling, database, inbound] = app();
    let mut poll = client(7, 9);
    poll.key.port = 443;
    let mut other = client(7, 4);
    other.key.port = 5432;
    let mut lab = Lab::new([calling, database, inbound, poll, other]).only(SIGNAL);
    let second = |records: &mut [(u32, EdgeRecord)], wait_ns| {
        call(&mut records[..3], 50, 5 * MS, wait_ns);
        let [_, _, _, (_, poll), (_, other)] = records else { panic!("five") };
        spend(poll, 1, 25 * S);
        spend(other, 20, 3 * MS + wait_ns);
        other.receive_queue_wait.buckets[index(wait_ns)] += 20;
        other.receive_queue_wait.sum_ns += 20 * wait_ns;
    };
    lab.run(60, |_, records| second(records, MS / 10)).run(30, |_, records| second(records, 60 * MS));
    assert_eq!(lab.happened(), [(70, Happened::Raised)]);
}

#[test]
fn the_dependency_is_slow_too_and_is_not_ruled_out() {
    let mut lab = Lab::new(app()).only(SIGNAL);
    lab.run(60, healthy).run(30, |_, records| call(records, 50, 20 * MS, 60 * MS));
    let document = lab.events[0].1.alert.document();
    assert!(document.ruled_out.iter().all(|not| !not.starts_with("slow dependency")));
    assert_eq!(lab.decider.incidents().lost(), Default::default());
}

/// The dependency is slow, or waits are short, or a small part of the time.
#[test]
fn slow_answers_and_short_waits_are_no_stall() {
    let mut lab = Lab::new(app()).only(SIGNAL);
    lab.run(60, healthy).run(60, |_, records| call(records, 50, 400 * MS, MS / 10));
    lab.run(60, |_, records| call(records, 50, 5 * MS, 12 * MS));
    lab.run(60, |_, records| call(records, 50, 400 * MS, 60 * MS));
    assert_eq!(lab.happened(), []);
}

/// A load generator that always reads late, and a job that sends, does something else and reads.
#[test]
fn what_was_always_so_is_normal() {
    let mut lab = Lab::new(app()).only(SIGNAL);
    lab.run(300, |_, records| call(records, 50, 10 * MS, 40 * MS));
    assert_eq!(lab.happened(), []);
}

#[test]
fn too_few_and_overlapping_calls_say_nothing() {
    let mut lab = Lab::new(app()).only(SIGNAL);
    lab.run(60, healthy).run(60, |_, records| call(records, 3, 5 * MS, 60 * MS));
    assert_eq!(lab.happened(), []);
    let mut lab = Lab::new(app()).only(SIGNAL);
    lab.run(60, healthy).run(60, |_, records| {
        records[0].1.multiplexed_set = 1;
        call(records, 50, 5 * MS, 60 * MS);
    });
    assert_eq!(lab.happened(), []);
}

/// A pause of 300 ms now and then, of a caller that has little to do; and one bad window.
#[test]
fn a_pause_is_no_stall() {
    let mut lab = Lab::new(app()).only(SIGNAL);
    lab.run(60, |_, records| call(records, 4, 5 * MS, MS / 10)).run(120, |second, records| {
        call(records, 4, 5 * MS, MS / 10);
        if second % 5 == 0 {
            call(records, 2, 5 * MS, 300 * MS);
        }
    });
    lab.run(60, healthy).run(5, |_, records| call(records, 50, 5 * MS, 60 * MS)).run(60, healthy);
    assert_eq!(lab.happened(), []);
}

/// What has just begun compiles and loads: it is held back, and said when it goes on.
#[test]
fn a_caller_that_has_just_started_is_given_a_minute() {
    let mut lab = Lab::new(app()).only(SIGNAL);
    lab.run(60, healthy).run(20, |second, records| {
        if second == 61 {
            records[0].1.process_start_ns = (BEGIN_S + 61) * S - MS;
        }
        call(records, 50, 5 * MS, 60 * MS);
    });
    assert_eq!(lab.happened(), []);
}
