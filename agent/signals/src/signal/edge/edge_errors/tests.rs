//! Inputs through `Engine`, windows through `Decider`: what `weir signals` will do with a recording.

use std::net::Ipv6Addr;

use proptest::prelude::*;
use weir_abi::{ConnectOutcome, EdgeKey, EdgeRecord, ROLE_SERVER, SLOT_LIVE};
use weir_ebpf::histogram::index;

use super::*;
use crate::{
    decider::Decider,
    incident::{alarm::Ended, decisions::Happened, severity::Level},
    lab::{Lab, MS, S, abandon, answer, client, connect, server, v4},
    learn::baseline::Learning,
    report::alert::MAX_TEXT,
};
use weir_engine::{Degraded, Engine, Identity, Input, Kind, Named, NamedEnd, Schedule, Started, WindowId};

/// Four calls a second on a connection of their own each.
fn healthy(_: u64, records: &mut [(u32, EdgeRecord)]) {
    for (_, record) in records {
        connect(record, ConnectOutcome::Ok, 4);
        record.closed += 4;
        answer(record, 4);
    }
}

fn refused(_: u64, records: &mut [(u32, EdgeRecord)]) {
    connect(&mut records[0].1, ConnectOutcome::Refused, 4);
    records[0].1.connect_failed_latency.buckets[index(MS)] += 4;
    records[0].1.connect_failed_latency.sum_ns += 4 * MS;
}

#[test]
fn a_refused_connection_fires_within_three_windows_and_clears() {
    let mut lab = Lab::new([client(7, 2)]);
    lab.run(40, healthy).run(40, refused).run(40, healthy);
    let happened = lab.happened();
    assert_eq!(happened, [(50, Happened::Raised), (95, Happened::Resolved(Ended::Cleared))]);
    let alert = &lab.events[0].1.alert;
    assert_eq!(alert.severity().level(), Level::Critical, "it worked before");
    let document = alert.document();
    assert_eq!((document.signal, document.class, document.state), ("edge_errors", Some("refused"), "firing"));
    assert_eq!((document.client.as_deref(), document.server.as_deref()), (Some("app"), Some("10.0.0.2:6379")));
    assert_eq!(document.what, "100% of connects fail: 20 refused (20 in 5 s, expected 0%)");
    assert_eq!(document.r#where, "nothing listens at 10.0.0.2:6379: ss -ltnp 'sport = :6379'");
    assert_eq!(document.why, "4 calls/s go without an answer");
    assert_eq!(document.origin.node, "10.0.0.2");
    assert_eq!(document.ruled_out[0], "lost packets: 20 resets came back, one for each failed connect");
    assert!(document.evidence.len() >= 3 && document.evidence.iter().any(|item| item.baseline.is_some()));
    assert!(alert.text().chars().count() <= MAX_TEXT, "{}", alert.text());
    assert_eq!(lab.sent.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [50]);
    let lost = lab.decider.incidents().lost();
    assert_eq!(lost, Default::default(), "nothing rejected, nothing over a limit");
}

#[test]
fn a_healthy_edge_and_a_sporadic_failure_stay_silent() {
    let mut lab = Lab::new([client(7, 2), client(8, 3)]);
    lab.run(600, |second, records| {
        healthy(second, records);
        // One edge fails once a minute, each time in another way.
        if second % 60 == 0 {
            let outcomes = [ConnectOutcome::Refused, ConnectOutcome::Timeout, ConnectOutcome::Unreachable];
            connect(&mut records[0].1, outcomes[second as usize / 60 % 3], 1);
            abandon(&mut records[0].1, 1, 100 * MS);
        }
    });
    assert_eq!(lab.happened(), []);
    assert_eq!(lab.decider.incidents().pending().count(), 0);
}

#[test]
fn health_probes_that_open_and_close_stay_silent() {
    let mut lab = Lab::new([client(7, 2)]);
    lab.run(300, |_, records| {
        connect(&mut records[0].1, ConnectOutcome::Ok, 1);
        records[0].1.closed += 1;
    });
    assert_eq!(lab.happened(), []);
    // A probe of what has stopped is no look-alike.
    lab.run(20, |_, records| connect(&mut records[0].1, ConnectOutcome::Refused, 1));
    assert_eq!(lab.happened(), [(310, Happened::Raised)]);
}

#[test]
fn a_server_that_never_was_there_is_no_page() {
    let mut lab = Lab::new([client(7, 2)]);
    lab.run(60, refused);
    assert_eq!(lab.happened(), [(10, Happened::Raised)]);
    assert_eq!(lab.events[0].1.alert.severity().level(), Level::Warn);
}

#[test]
fn a_long_fault_does_not_become_normal() {
    let mut lab = Lab::new([client(7, 2)]);
    lab.run(40, healthy).run(1200, |_, records| {
        connect(&mut records[0].1, ConnectOutcome::Refused, 3);
        connect(&mut records[0].1, ConnectOutcome::Ok, 1);
        records[0].1.closed += 1;
        answer(&mut records[0].1, 1);
    });
    assert_eq!(lab.happened(), [(50, Happened::Raised)], "it neither ends nor gets better");
    assert_eq!(lab.events[0].1.alert.severity().level(), Level::Critical);
}

#[test]
fn a_call_that_is_given_up_is_a_failure_once_normal_is_known() {
    let timeout = |_: u64, records: &mut [(u32, EdgeRecord)]| {
        connect(&mut records[0].1, ConnectOutcome::Ok, 10);
        records[0].1.closed += 10;
        abandon(&mut records[0].1, 10, 100 * MS);
    };
    let mut lab = Lab::new([client(7, 2)]);
    lab.run(40, healthy).run(40, timeout);
    assert_eq!(lab.happened(), [(50, Happened::Raised)]);
    let document = lab.events[0].1.alert.document();
    assert_eq!((document.class, document.severity), (Some("abandoned"), "critical"));
    assert_eq!(document.r#where, "the timeout set in app (pid 7): ss -tnpi 'dport = :6379'");
}

#[test]
fn a_good_bye_that_is_not_answered_is_none() {
    // As PostgreSQL's Terminate, TLS's close_notify: one request more on each connection.
    let mut lab = Lab::new([client(7, 2)]);
    lab.run(300, |second, records| {
        healthy(second, records);
        abandon(&mut records[0].1, 4, MS / 10);
    });
    assert_eq!(lab.happened(), []);
}

#[test]
fn open_connections_that_are_reset_and_no_local_port_are_others_business() {
    let mut lab = Lab::new([client(7, 2)]);
    lab.run(100, |second, records| {
        healthy(second, records);
        records[0].1.resets_received += 4;
        records[0].1.errors[1] += 4;
        connect(&mut records[0].1, ConnectOutcome::AddressNotAvailable, 10);
        connect(&mut records[0].1, ConnectOutcome::Cancelled, 10);
    });
    assert!(lab.events.iter().all(|(_, event)| event.alert.document().signal == "ports_exhausted"), "{:?}", lab.events);
}

#[test]
fn the_family_of_addresses_that_fails_is_excused_by_the_other() {
    let mut six = client(7, 2);
    six.key.address = Ipv6Addr::LOCALHOST.octets();
    let mut four = client(7, 2);
    four.key.address = [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 127, 0, 0, 1];
    let both = |_: u64, records: &mut [(u32, EdgeRecord)]| {
        connect(&mut records[0].1, ConnectOutcome::Refused, 4);
        connect(&mut records[1].1, ConnectOutcome::Ok, 4);
        records[1].1.closed += 4;
    };
    let mut lab = Lab::new([six, four]);
    lab.run(60, both);
    assert_eq!(lab.happened(), []);
    lab.run(20, |_, records| records.iter_mut().for_each(|(_, r)| connect(r, ConnectOutcome::Refused, 4)));
    assert_eq!(lab.subjects().len(), 2, "when both fail, both do");
}

#[test]
fn instances_of_a_service_are_one_incident() {
    let mut lab = Lab::new((1..=20).map(|tgid| client(tgid, 2)));
    lab.run(40, healthy).run(20, |_, records| {
        records.iter_mut().for_each(|(_, record)| connect(record, ConnectOutcome::Refused, 1));
    });
    assert_eq!((lab.events.len(), lab.sent.len()), (1, 1));
    assert!(lab.events[0].1.alert.document().what.starts_with("100% of connects fail: 100 refused"));
}

#[test]
fn a_server_that_is_gone_keeps_its_name() {
    let caller = client(7, 2);
    let mut lab = Lab::new([caller, server(20, &caller)]);
    lab.run(40, healthy);
    lab.engine.take(Input::Retired { slot: 12 });
    lab.records.truncate(1);
    lab.run(40, refused);
    lab.records.push((13, server(21, &caller)));
    lab.run(40, |second, records| healthy(second, &mut records[..]));
    assert_eq!(lab.subjects(), BTreeSet::from(["app -> redis:6379".to_owned()]));
    assert_eq!(lab.happened(), [(50, Happened::Raised), (95, Happened::Resolved(Ended::Cleared))]);
}

#[test]
fn a_client_elsewhere_that_gives_up_is_seen_from_here() {
    let key = EdgeKey {
        tgid: 20,
        netns: 1,
        role: ROLE_SERVER,
        address: v4(9),
        port: 80,
        listen_port: 80,
        ..EdgeKey::default()
    };
    let web = EdgeRecord { key, state: SLOT_LIVE, local_address: v4(2), ..EdgeRecord::EMPTY };
    let mut lab = Lab::new([web]);
    lab.run(40, healthy).run(20, |_, records| {
        connect(&mut records[0].1, ConnectOutcome::Ok, 10);
        records[0].1.closed += 10;
        records[0].1.rounds_broken += 10;
        records[0].1.unanswered_ns += 10 * MS;
    });
    assert_eq!(lab.happened(), [(50, Happened::Raised)]);
    assert_eq!(lab.events[0].1.alert.document().class, Some("abandoned"));
}

#[test]
fn rounds_whose_books_do_not_balance_raise_nothing() {
    let mut lab = Lab::new([client(7, 2)]);
    lab.run(40, healthy).run(40, |_, records| {
        answer(&mut records[0].1, 10);
        // Longer in flight than there was time.
        abandon(&mut records[0].1, 10, 100 * S);
    });
    assert_eq!(lab.happened(), []);
}

/// One of a sample that fails stands for sixty-four.
#[test]
fn estimates_are_no_counts() {
    let mut lab = Lab::new([client(7, 2)]);
    lab.run(60, healthy);
    lab.engine.take(Input::Degraded(Degraded { cpu_step: 5, ..Degraded::default() }));
    lab.run(60, |second, records| {
        answer(&mut records[0].1, 128);
        if second % 5 == 0 {
            abandon(&mut records[0].1, 64, MS);
        }
    });
    assert_eq!(lab.happened(), []);
}

#[test]
fn a_client_that_stops_calling_ends_it_as_silent() {
    let mut lab = Lab::new([client(7, 2)]);
    lab.run(40, healthy).run(20, refused).run(80, |_, _| {});
    assert_eq!(lab.happened(), [(50, Happened::Raised), (120, Happened::Resolved(Ended::WentSilent))]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Counters that make no sense, at times that make none.
    #[test]
    fn nothing_panics(
        windows in prop::collection::vec((any::<u64>(), any::<[u64; 8]>(), any::<[u64; 6]>()), 0..40),
    ) {
        let mut engine = Engine::new([Schedule::Tumbling { span_ns: 1 }]);
        engine.take(Input::Started(Started::default()));
        let mut decider = Decider::new(Learning::of(0));
        for (at_ns, connects, [abandoned, broken, unanswered_ns, in_flight, sum_ns, answered]) in windows {
            let mut record = EdgeRecord { connects, in_flight, unanswered_ns, ..client(7, 2) };
            (record.rounds_abandoned, record.rounds_broken) = (abandoned, broken);
            (record.latency.sum_ns, record.latency.buckets[20]) = (sum_ns, answered as u32);
            engine.take(Input::Edge { slot: 11, record: &record });
            engine.take(Input::Tick { monotonic_ns: at_ns, unix_ns: at_ns });
            for event in decider.window(at_ns, &engine.snapshot(WindowId::FIRST)).events {
                prop_assert!(event.alert.text().chars().count() <= MAX_TEXT);
            }
        }
        prop_assert_eq!(decider.incidents().lost().rejected, [0; 8]);
    }
}

#[test]
fn any_name_of_any_length_makes_an_alert() {
    let long = |kind, c: &str| {
        let name = c.repeat(300);
        Ok(std::sync::Arc::new(Identity {
            namespace: Some(name.as_str().into()),
            ..Identity::new(kind, name.as_str())
        }))
    };
    let mut caller = client(7, 2);
    caller.key.address = Ipv6Addr::from([0xfd12; 8]).octets();
    caller.comm = [b'x'; 16];
    caller.exe = [b'y'; 32];
    let mut lab = Lab::new([caller]);
    lab.run(5, healthy);
    for (end, c) in [(NamedEnd::Own, "ü"), (NamedEnd::Far, "漢")] {
        let named = Named { slot: 11, end, since_ns: 0, identity: long(Kind::KubernetesWorkload, c) };
        lab.engine.take(Input::Named(named));
    }
    lab.run(35, healthy);
    for outcome in [1, 2, 3, 4, 7] {
        lab.run(40, |_, records| {
            for other in [1, 2, 3, 4, 7] {
                records[0].1.connects[other] += if other == outcome { 1000 } else { 1 };
            }
            records[0].1.connect_failed_latency.buckets[index(MS)] += 1000;
        });
        lab.run(100, healthy);
    }
    assert_eq!(lab.decider.incidents().lost().rejected, [0; 8]);
    assert_eq!(lab.events.iter().filter(|(_, e)| e.happened == Happened::Raised).count(), 5, "{:?}", lab.happened());
    for (_, event) in &lab.events {
        let text = event.alert.text();
        assert!(text.chars().count() <= MAX_TEXT, "{}: {text}", text.chars().count());
    }
}
