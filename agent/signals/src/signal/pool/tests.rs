use weir_abi::{ConnectOutcome, EdgeRecord, InFlight, ROLE_SERVER, THREADS_EXPONENT};
use weir_ebpf::histogram::index;

use crate::{
    incident::{alarm::Ended, decisions::Happened, severity::Level},
    lab::{BEGIN_S, Lab, MS, S, answer, client, connect, server},
    report::alert::MAX_TEXT,
    rules::Rules,
};

type Records<'a> = &'a mut [(u32, EdgeRecord)];

/// An application with a pool of connections to a database, and the requests that its own callers make of it.
fn app() -> [EdgeRecord; 3] {
    let pool = client(7, 2);
    let mut inbound = server(7, &client(5, 3));
    (inbound.key.port, inbound.key.listen_port) = (8080, 8080);
    inbound.key.role = ROLE_SERVER;
    [pool, server(8, &pool), inbound]
}

/// What happens in a second.
#[derive(Clone, Copy)]
struct Second {
    connections: u64,
    queries: u32,
    query_ns: u64,
    /// Of the queries: on a connection that another thread had before, at once and later.
    handed_off: u32,
    taken_later: u32,
    requests: u32,
    request_ns: u64,
    /// A bit for each.
    threads: u64,
}

/// Four connections, well used; four threads that come and go.
const WELL: Second = Second {
    connections: 4,
    queries: 100,
    query_ns: 20 * MS,
    handed_off: 1,
    taken_later: 60,
    requests: 100,
    request_ns: 22 * MS,
    threads: 0xffff,
};
/// Sixteen of them.
const EXHAUSTED: Second =
    Second { queries: 195, handed_off: 180, taken_later: 2, requests: 195, request_ns: 82 * MS, ..WELL };

fn spend(record: &mut EdgeRecord, n: u32, each_ns: u64) {
    record.latency.buckets[index(each_ns)] += n;
    record.latency.sum_ns += u64::from(n) * each_ns;
}

fn pass(at_s: u64, second: Second, records: Records<'_>) {
    let [(_, pool), (_, database), (_, inbound)] = records else { panic!("three ends") };
    while pool.opened < second.connections {
        connect(pool, ConnectOutcome::Ok, 1);
        connect(database, ConnectOutcome::Ok, 1);
    }
    if inbound.opened == 0 {
        connect(inbound, ConnectOutcome::Ok, 16);
    }
    spend(pool, second.queries, second.query_ns);
    spend(database, second.queries, second.query_ns);
    pool.reused_by_other_thread[0] += second.handed_off;
    pool.reused_by_other_thread[3] += second.taken_later;
    let rest = second.queries - second.handed_off - second.taken_later;
    pool.reused_by_same_thread[3] += rest;
    (pool.threads, pool.threads_epoch) = ([second.threads, 0], ((BEGIN_S + at_s) * S) >> THREADS_EXPONENT);
    spend(inbound, second.requests, second.request_ns);
}

fn run(lab: &mut Lab, seconds: u64, second: Second) -> &mut Lab {
    lab.run(seconds, |at_s, records| pass(at_s, second, records))
}

#[test]
fn a_pool_too_small_raises_and_clears() {
    let mut lab = Lab::new(app());
    run(&mut lab, 60, WELL);
    run(&mut lab, 30, EXHAUSTED);
    run(&mut lab, 40, WELL);
    assert_eq!(lab.happened(), [(70, Happened::Raised), (105, Happened::Resolved(Ended::Cleared))]);
    let alert = &lab.events[0].1.alert;
    assert_eq!(alert.severity().level(), Level::Critical, "and callers wait 60 ms");
    let document = alert.document();
    assert_eq!((document.signal, document.class), ("pool_exhausted", Some("too small")));
    assert_eq!(document.client.as_deref(), Some("app (pid 7)"));
    assert_eq!(document.server.as_deref(), Some("redis:6379"));
    let value = |name: &str| document.evidence.iter().find(|item| item.name == name).expect(name).value;
    assert!((value("waited for a connection") - 0.99).abs() < 0.03, "{}", value("waited for a connection"));
    assert!((value("callers waiting") - 12.0).abs() < 0.3, "{}", value("callers waiting"));
    assert!((value("wait for a connection, mean") - 0.062).abs() < 0.006, "{}", value("wait for a connection, mean"));
    assert!(alert.text().chars().count() <= MAX_TEXT, "{}", alert.text());
    assert_eq!(lab.decider.incidents().lost(), Default::default());
}

#[test]
fn why_it_is_exhausted() {
    let slow = Second { queries: 20, query_ns: 195 * MS, handed_off: 18, taken_later: 0, requests: 20, ..EXHAUSTED };
    let slow = Second { request_ns: 800 * MS, ..slow };
    let held = Second { query_ns: MS, ..EXHAUSTED };
    for (second, class, origin) in [
        (EXHAUSTED, "too small", "app (pid 7)"),
        (slow, "slow dependency", "redis:6379"),
        (held, "held while not in use", "app (pid 7)"),
    ] {
        let mut lab = Lab::new(app());
        run(&mut lab, 60, WELL);
        run(&mut lab, 20, second);
        let document = lab.events.first().unwrap_or_else(|| panic!("{class}")).1.alert.document();
        assert_eq!((document.class, document.origin.node), (Some(class), origin));
    }
}

/// As many threads as connections: all are busy, and no caller waits. Connections change hands where two threads give theirs
/// back at once; or each time, where each request has a thread of its own, and then it is the callers who are too few.
#[test]
fn a_closed_loop_of_as_many_threads_is_silent() {
    let closed = Second { queries: 195, handed_off: 0, taken_later: 0, requests: 195, request_ns: 20 * MS, ..WELL };
    for closed in [
        closed,
        Second { handed_off: 40, threads: 0xf, ..closed },
        Second { handed_off: 195, threads: u64::MAX, ..closed },
    ] {
        let mut lab = Lab::new(app()).only("pool_exhausted");
        run(&mut lab, 120, closed);
        assert_eq!(lab.happened(), []);
    }
}

/// The same second with hand-offs that took one to two milliseconds.
fn pass_slowly(at_s: u64, second: Second, records: Records<'_>) {
    pass(at_s, second, records);
    let reused = &mut records[0].1.reused_by_other_thread;
    reused[0] -= second.handed_off;
    reused[2] += second.handed_off;
}

/// A waiter has to be woken, which takes as long after a short answer as after a long one.
#[test]
fn a_hand_off_of_a_held_connection_is_one_however_short_the_answers() {
    let held = Second { query_ns: MS / 4, ..EXHAUSTED };
    let mut lab = Lab::new(app());
    run(&mut lab, 60, WELL).run(20, |at_s, records| pass_slowly(at_s, held, records));
    let document = lab.events.first().expect("an incident").1.alert.document();
    assert_eq!((document.class, document.evidence[0].name), (Some("held while not in use"), "waited for a connection"));
    assert!(document.evidence[0].value > 0.95, "{}", document.evidence[0].value);
}

/// Where a connection is asked again within a millisecond anyway, two of them are no hand-off.
#[test]
fn short_pauses_between_short_answers_are_no_hand_offs() {
    let fast = Second { queries: 3200, query_ns: MS, handed_off: 600, taken_later: 0, requests: 3200, ..WELL };
    let fast = Second { request_ns: 3 * MS / 2, ..fast };
    let mut lab = Lab::new(app()).only("pool_exhausted");
    lab.run(120, |at_s, records| pass_slowly(at_s, fast, records));
    assert_eq!(lab.happened(), []);
}

/// What others alarm on: it is wrong where no caller waits, and silent where connections are held.
#[test]
fn busy_connections_are_no_sign_of_a_pool_that_is_too_small() {
    let rules = Rules::without("all-busy").expect("an ablation");
    let closed = Second { queries: 195, handed_off: 0, taken_later: 0, requests: 195, request_ns: 20 * MS, ..WELL };
    let held = Second { query_ns: MS, ..EXHAUSTED };
    for (second, without, with) in [(closed, 1, 0), (held, 0, 1)] {
        let lab = || Lab::new(app()).only("pool_exhausted");
        let raised = |mut lab: Lab| {
            run(&mut lab, 60, WELL);
            run(&mut lab, 30, second).events.len()
        };
        assert_eq!((raised(lab().following(rules)), raised(lab())), (without, with));
    }
}

/// A stack of many connections, of which the top one is always used again at once.
#[test]
fn a_stack_with_room_is_silent() {
    let mut lab = Lab::new(app());
    let stack = Second { connections: 10, queries: 2000, query_ns: MS, handed_off: 1300, taken_later: 500, ..WELL };
    run(&mut lab, 120, Second { requests: 2000, request_ns: 2 * MS, ..stack });
    assert_eq!(lab.happened(), []);
}

/// An event loop: one thread, so only the queue tells.
#[test]
fn an_event_loop_is_judged_by_its_queue() {
    let well = Second { handed_off: 0, taken_later: 0, queries: 190, requests: 190, request_ns: 21 * MS, ..WELL };
    let exhausted = Second { request_ns: 84 * MS, ..well };
    let mut lab = Lab::new(app()).only("pool_exhausted");
    run(&mut lab, 60, well);
    run(&mut lab, 30, exhausted);
    assert_eq!(lab.happened(), [(70, Happened::Raised)]);
    let document = lab.events[0].1.alert.document();
    assert_eq!((document.class, document.evidence[0].name), (Some("too small"), "callers waiting"));
    assert!((document.evidence[0].value - 12.0).abs() < 0.3, "{}", document.evidence[0].value);
}

/// As the kernel half corrects what it counted at the first byte.
fn prolong(record: &mut EdgeRecord, n: u32, first_ns: u64, full_ns: u64) {
    let correction = &mut record.full_latency_correction;
    correction.buckets[index(first_ns)] = correction.buckets[index(first_ns)].wrapping_sub(n);
    correction.buckets[index(full_ns)] = correction.buckets[index(full_ns)].wrapping_add(n);
    correction.sum_ns += u64::from(n) * (full_ns - first_ns);
}

/// A proxy with four connections, which passes on answers whose body comes 44 ms after their head: connections are taken all the
/// time, and callers whose answer has begun do not wait.
#[test]
fn answers_in_pieces_take_a_connection_until_their_end() {
    let well = Second { handed_off: 0, taken_later: 0, queries: 20, requests: 20, request_ns: 21 * MS, ..WELL };
    let exhausted = Second { queries: 62, requests: 62, request_ns: 214 * MS, ..well };
    let mut lab = Lab::new(app()).only("pool_exhausted");
    let mut run = |seconds: u64, second: Second| {
        lab.run(seconds, |at_s, records| {
            pass(at_s, second, records);
            prolong(&mut records[0].1, second.queries, second.query_ns, 64 * MS);
            prolong(&mut records[2].1, second.requests, second.request_ns, second.request_ns + 44 * MS);
        });
    };
    run(60, well);
    run(30, exhausted);
    let document = lab.events.first().expect("an incident").1.alert.document();
    assert_eq!((document.class, document.evidence[0].name), (Some("too small"), "callers waiting"));
    assert!((document.evidence[0].value - 12.0).abs() < 0.3, "{}", document.evidence[0].value);
    assert!(document.evidence[2].value > 0.95, "all are taken: {}", document.evidence[2].value);
}

/// Reports whose rows stream in while their callers have no byte yet, and downloads that have nothing to do with them.
#[test]
fn answers_read_are_not_those_passed_on_where_their_numbers_differ() {
    let well = Second { handed_off: 0, taken_later: 0, queries: 10, requests: 10, request_ns: 200 * MS, ..WELL };
    let mut lab = Lab::new(app()).only("pool_exhausted");
    let mut run = |seconds: u64, second: Second, download_ns: u64| {
        lab.run(seconds, |at_s, records| {
            pass(at_s, second, records);
            prolong(&mut records[0].1, second.queries, second.query_ns, 320 * MS);
            prolong(&mut records[2].1, second.requests, second.request_ns, second.request_ns + download_ns);
        });
    };
    run(60, well, 10 * MS);
    run(60, Second { request_ns: 330 * MS, ..well }, 700 * MS);
    assert_eq!(lab.happened(), [], "three reports on four connections, and seven downloads");
}

/// Statements of very different lengths, as of every transaction (BEGIN, a query, COMMIT): more of the short ones under load make
/// none of them slower.
#[test]
fn a_mixture_of_answers_is_no_slow_dependency() {
    let mut lab = Lab::new(app()).only("pool_exhausted");
    let mut run = |seconds: u64, second: Second, short_ns: u64| {
        lab.run(seconds, |at_s, records| {
            pass(at_s, second, records);
            spend(&mut records[0].1, 2 * second.queries, short_ns);
        });
    };
    run(60, WELL, MS / 10);
    run(30, EXHAUSTED, MS / 5);
    assert_eq!(lab.events.first().expect("an incident").1.alert.document().class, Some("too small"));
}

/// Goroutines hop between threads, with no caller waiting: seen at a time of few callers, it is known for what it is.
#[test]
fn work_that_hops_between_threads_is_no_hand_off() {
    let hopping = Second { connections: 20, queries: 500, query_ns: MS, handed_off: 400, taken_later: 50, ..WELL };
    let few = Second { requests: 100, request_ns: 8 * MS, ..hopping };
    let mut lab = Lab::new(app());
    run(&mut lab, 60, few);
    run(&mut lab, 60, Second { requests: 900, request_ns: 20 * MS, ..few });
    assert_eq!(lab.happened(), []);
}

/// Another service is slow, which the process's callers wait for: its pool of connections to the database is none the worse.
#[test]
fn waiting_for_somebody_else_is_not_waiting_for_this_pool() {
    let mut slow = client(7, 9);
    slow.key.port = 443;
    let [pool, database, inbound] = app();
    let mut lab = Lab::new([pool, database, inbound, slow]);
    let second = |at_s: u64, request_ns: u64, records: Records<'_>| {
        let well =
            Second { queries: 150, query_ns: MS, handed_off: 0, taken_later: 0, requests: 50, request_ns, ..WELL };
        pass(at_s, well, &mut records[..3]);
        let slow = &mut records[3].1;
        if slow.opened == 0 {
            connect(slow, ConnectOutcome::Ok, 20);
        }
        spend(slow, 50, request_ns - 5 * MS);
    };
    lab.run(60, |at_s, records| second(at_s, 100 * MS, records));
    lab.run(60, |at_s, records| second(at_s, 400 * MS, records));
    assert_eq!(lab.happened(), []);
}

/// Requests of callers overlap on their connections (gRPC): how many there are is not known, and hops look like
/// hand-offs while connections are idle.
#[test]
fn where_callers_cannot_be_counted_idle_connections_are_no_sign() {
    let hopping = Second { connections: 3, queries: 300, query_ns: MS, handed_off: 150, taken_later: 100, ..WELL };
    let mut lab = Lab::new(app());
    lab.run(120, |at_s, records| {
        records[2].1.multiplexed_set = 1;
        pass(at_s, hopping, records);
    });
    assert_eq!(lab.happened(), []);
}

#[test]
fn a_pool_that_grows_has_room() {
    let mut lab = Lab::new(app());
    run(&mut lab, 60, WELL).run(60, |second, records| {
        pass(second, Second { connections: 4 + second, ..EXHAUSTED }, records);
    });
    assert_eq!(lab.happened(), []);
}

/// Connections are taken and never given back: nothing moves on them, and requests pile up.
#[test]
fn nothing_comes_back_to_the_pool() {
    let mut lab = Lab::new(app());
    run(&mut lab, 60, WELL).run(30, |second, records| {
        let inbound = &mut records[2].1;
        // Three a second begin and are never answered.
        let begun_ns = (BEGIN_S + second - 1) * S;
        for _ in 0..3 {
            inbound.in_flight = inbound.in_flight.wrapping_add(InFlight::of(begun_ns));
        }
        inbound.attached = 16;
    });
    let document = lab.events.first().expect("an incident").1.alert.document();
    assert_eq!((document.signal, document.class), ("pool_exhausted", Some("leak or deadlock")));
    assert_eq!(lab.events[0].1.alert.severity().level(), Level::Critical);
}

/// A server that is full, beside one that serves each request on a connection of its own.
#[test]
fn a_server_that_takes_no_more() {
    let steady = client(7, 2);
    let mut newcomer = client(9, 2);
    newcomer.comm[..4].copy_from_slice(b"late");
    let mut lab = Lab::new([steady, newcomer]);
    let second = |refused: u64, records: Records<'_>| {
        if records[0].1.opened == 0 {
            connect(&mut records[0].1, ConnectOutcome::Ok, 20);
        }
        answer(&mut records[0].1, 10);
        connect(&mut records[1].1, ConnectOutcome::Ok, refused);
        records[1].1.closed += refused;
        records[1].1.closed_early += refused;
    };
    lab.run(60, |_, records| second(0, records)).run(30, |_, records| second(2, records));
    assert_eq!(lab.happened(), [(75, Happened::Raised)]);
    let alert = &lab.events[0].1.alert;
    let document = alert.document();
    assert_eq!((document.signal, document.client.as_deref()), ("pool_refused", Some("late")));
    assert_eq!(alert.severity().level(), Level::Critical, "none of it gets in");
    let mut lab = Lab::new([steady, newcomer]);
    lab.run(60, |_, records| second(0, records)).run(60, |at_s, records| {
        // A job that asks three times, each on a connection of its own, now and then.
        second(if at_s % 30 == 2 { 3 } else { 0 }, records);
    });
    assert_eq!(lab.happened(), [], "one burst");
    let mut lab = Lab::new([steady, newcomer]);
    lab.run(180, |_, records| second(20, records));
    assert_eq!(lab.happened(), [], "HTTP/1.0");
}

/// Redis answers QUIT, and closes: jobs of a few commands, none of which keeps a connection. An application that keeps some is
/// believed after a login, too; whichever end left first.
#[test]
fn a_good_bye_that_is_answered_is_no_refusal() {
    let steady = client(7, 2);
    let job = client(9, 2);
    for (kept, happened) in [(0, vec![]), (2, vec![(75, Happened::Raised)])] {
        let mut lab = Lab::new([steady, job, server(8, &job)]);
        let second = |n: u64, records: Records<'_>| {
            if records[0].1.opened == 0 {
                connect(&mut records[0].1, ConnectOutcome::Ok, 20);
                connect(&mut records[1].1, ConnectOutcome::Ok, kept);
            }
            answer(&mut records[0].1, 10);
            connect(&mut records[1].1, ConnectOutcome::Ok, 2 * n);
            records[1].1.closed += 2 * n;
            records[1].1.closed_after_login += n as u32;
            records[2].1.closed_after_login += n as u32;
        };
        lab.run(60, |_, records| second(0, records)).run(20, |_, records| second(2, records));
        assert_eq!(lab.happened(), happened, "{kept} kept");
    }
}
