use weir_abi::{ConnectOutcome, EdgeRecord, ROLE_SERVER, THREADS_EXPONENT};
use weir_ebpf::histogram::index;

use crate::{
    incident::{alarm::Ended, decisions::Happened, severity::Level},
    lab::{BEGIN_S, Lab, MS, S, client, connect, server},
    report::alert::MAX_TEXT,
};

const SIGNAL: &str = "pool_near_limit";

/// An application with a pool of connections to a database, and its own callers.
fn app() -> [EdgeRecord; 3] {
    let pool = client(7, 2);
    let mut inbound = server(7, &client(5, 3));
    (inbound.key.port, inbound.key.listen_port, inbound.key.role) = (8080, 8080, ROLE_SERVER);
    [pool, server(8, &pool), inbound]
}

/// What happens in a second: `queries` of 20 ms on ten connections, as many requests on 40, by so many threads.
#[derive(Clone, Copy)]
struct Second {
    queries: u32,
    callers: u64,
    threads: u64,
    connections: u64,
    handed_off: u32,
    request_ns: u64,
}

/// 6 of 10 in use.
const HALF: Second =
    Second { queries: 300, callers: 40, threads: 0xf_ffff, connections: 10, handed_off: 0, request_ns: 21 * MS };
/// 9 of 10.
const NEARLY: Second = Second { queries: 450, ..HALF };

fn pass(at_s: u64, second: Second, records: &mut [(u32, EdgeRecord)]) {
    let [(_, pool), (_, database), (_, inbound)] = records else { panic!("three ends") };
    while pool.opened < second.connections {
        connect(pool, ConnectOutcome::Ok, 1);
        connect(database, ConnectOutcome::Ok, 1);
    }
    if inbound.opened == 0 {
        connect(inbound, ConnectOutcome::Ok, second.callers);
    }
    for (record, each_ns) in [(&mut *pool, 20 * MS), (database, 20 * MS), (inbound, second.request_ns)] {
        record.latency.buckets[index(each_ns)] += second.queries;
        record.latency.sum_ns += u64::from(second.queries) * each_ns;
    }
    pool.reused_by_other_thread[0] += second.handed_off;
    pool.reused_by_other_thread[3] += (second.queries - second.handed_off) / 2;
    pool.reused_by_same_thread[3] += second.queries - second.handed_off - (second.queries - second.handed_off) / 2;
    (pool.threads, pool.threads_epoch) = ([second.threads, 0], ((BEGIN_S + at_s) * S) >> THREADS_EXPONENT);
}

fn run(lab: &mut Lab, seconds: u64, second: Second) -> &mut Lab {
    lab.run(seconds, |at_s, records| pass(at_s, second, records))
}

fn lab() -> Lab {
    Lab::new(app()).only(SIGNAL)
}

#[test]
fn a_pool_nearly_used_up_is_for_who_looks() {
    let mut lab = lab();
    run(&mut lab, 60, HALF);
    run(&mut lab, 60, NEARLY);
    run(&mut lab, 60, HALF);
    assert_eq!(lab.happened(), [(80, Happened::Raised), (135, Happened::Resolved(Ended::Cleared))]);
    let alert = &lab.events[0].1.alert;
    assert_eq!(alert.severity().level(), Level::Info);
    let document = alert.document();
    assert_eq!((document.signal, document.class), (SIGNAL, Some("near")));
    assert_eq!(document.client.as_deref(), Some("app (pid 7)"));
    assert_eq!(document.server.as_deref(), Some("redis:6379"));
    assert!((document.evidence[0].value - 0.9).abs() < 0.01, "{}", document.evidence[0].value);
    assert!(document.why.starts_with("1 connections are left"), "{}", document.why);
    assert!(alert.text().chars().count() <= MAX_TEXT, "{}", alert.text());
    assert_eq!(lab.decider.incidents().lost(), Default::default());
}

/// An event loop: one thread, nine connections in use.
#[test]
fn an_event_loop_is_told_by_its_callers() {
    let mut lab = lab();
    run(&mut lab, 120, Second { threads: 1, ..NEARLY });
    assert_eq!(lab.happened(), [(50, Happened::Raised)], "after half a minute without growth");
}

/// One request a second more each minute.
#[test]
fn a_pool_that_fills_is_a_warning_in_time() {
    let mut lab = lab();
    run(&mut lab, 120, HALF);
    lab.run(600, |at_s, records| pass(at_s, Second { queries: 300 + (at_s - 120) as u32 / 6, ..HALF }, records));
    let (at, event) = lab.events.first().expect("an incident");
    assert_eq!((event.alert.severity().level(), event.alert.document().class), (Level::Warn, Some("growing")));
    // 80% are in use after ten minutes.
    assert!(*at < 600, "{at}");
    let ahead = event.alert.document().evidence.iter().find(|item| item.name == "all in use in").map(|item| item.value);
    assert!(ahead.is_some_and(|s| (300.0..3600.0).contains(&s)), "{ahead:?}");
    assert_eq!(lab.decider.incidents().lost(), Default::default());
}

/// More load from one window to the next, which then stays.
#[test]
fn a_step_is_no_trend() {
    for (before, after) in [(300, 375), (100, 350), (320, 390)] {
        let mut lab = lab();
        run(&mut lab, 120, Second { queries: before, ..HALF });
        run(&mut lab, 300, Second { queries: after, ..HALF });
        assert_eq!(lab.happened(), []);
    }
}

/// As many threads as connections, or as many callers: all are busy, and no caller can come to wait.
#[test]
fn a_closed_loop_needs_no_more() {
    for closed in [
        Second { queries: 490, threads: 0x3ff, ..HALF },
        Second { queries: 490, callers: 10, ..HALF },
        Second { queries: 490, callers: 10, threads: 1, ..HALF },
        Second { queries: 420, callers: 10, handed_off: 40, ..HALF },
    ] {
        let mut lab = lab();
        run(&mut lab, 180, closed);
        assert_eq!(lab.happened(), []);
    }
}

#[test]
fn nobody_who_could_ask_more_is_known() {
    let [pool, database, _] = app();
    let [_, _, other] = app();
    let mut other = other;
    (other.key.tgid, other.key.peer_tgid) = (6, 4);
    let mut lab = Lab::new([pool, database, other]).only(SIGNAL);
    run(&mut lab, 120, Second { threads: 1, ..NEARLY });
    assert_eq!(lab.happened(), [], "a loop without callers");
    run(&mut lab, 60, NEARLY);
    assert_eq!(lab.happened().len(), 1, "threads");
}

#[test]
fn a_pool_that_grows_has_room() {
    let mut lab = lab();
    lab.run(240, |at_s, records| {
        let connections = 10 + at_s / 20;
        pass(at_s, Second { connections, queries: connections as u32 * 45, ..HALF }, records);
    });
    assert_eq!(lab.happened(), []);
}

/// Callers wait: there is another signal for that, and no two.
#[test]
fn an_exhausted_pool_is_no_longer_near() {
    let mut lab = lab();
    run(&mut lab, 60, HALF);
    run(&mut lab, 60, Second { handed_off: 440, request_ns: 60 * MS, ..NEARLY });
    assert_eq!(lab.happened(), []);
    run(&mut lab, 60, NEARLY);
    run(&mut lab, 30, Second { handed_off: 440, request_ns: 60 * MS, ..NEARLY });
    let happened: Vec<_> = lab.happened().into_iter().map(|(_, happened)| happened).collect();
    assert_eq!(happened, [Happened::Raised, Happened::Resolved(Ended::Cleared)]);
}

#[test]
fn requests_that_overlap_say_nothing() {
    let mut lab = lab();
    lab.run(120, |at_s, records| {
        records[0].1.multiplexed_set = 1;
        pass(at_s, NEARLY, records);
    });
    assert_eq!(lab.happened(), []);
}
