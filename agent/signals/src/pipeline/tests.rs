use weir_abi::ConnectOutcome;
use weir_engine::{Polled, Started};

use super::*;
use crate::{
    incident::decisions::Happened,
    lab::{S, client, connect},
};

const MS: u64 = 1_000_000;

/// A second's inputs, as they were given or recorded.
#[derive(Clone)]
struct Second {
    tick_ns: u64,
    record: weir_abi::EdgeRecord,
}

fn judged() -> Wanted {
    let learning = Learning::of(30 * S);
    Wanted { decisions: Some(Deciding { rules: Rules::ALL, learning }), total: true, ..Wanted::default() }
}

fn live(schedule: Schedule, every_ns: u64) -> Wanted {
    Wanted { live: Some(Live { schedule, every_ns }), ..Wanted::default() }
}

fn started(wanted: Wanted) -> Pipeline {
    let mut pipeline = Pipeline::new(wanted);
    pipeline.take(Input::Started(Started { monotonic_ns: 100 * S, unix_ns: S, ..Started::default() }));
    pipeline
}

fn tick(pipeline: &mut Pipeline, at_ns: u64) -> Option<Update> {
    pipeline.take(Input::Tick { monotonic_ns: 100 * S + at_ns, unix_ns: S + at_ns })
}

/// A caller that is refused from the twentieth second on; ticks come when they come.
fn refused(ticks_ns: impl Iterator<Item = u64>) -> Vec<Second> {
    let mut record = client(7, 2);
    let second = |tick_ns: u64| {
        let outcome = if tick_ns < 20 * S { ConnectOutcome::Ok } else { ConnectOutcome::Refused };
        connect(&mut record, outcome, 10);
        Second { tick_ns, record }
    };
    ticks_ns.map(second).collect()
}

/// What each update says: when, how long its windows are, and what has happened to incidents.
fn updates(wanted: Wanted, seconds: &[Second]) -> Vec<String> {
    let mut pipeline = started(wanted);
    let mut said = Vec::new();
    let mut seen = 0;
    let mut say = |update: Update| {
        let standing = update.incidents.as_ref().expect("windows are judged");
        let news = standing.since(seen);
        let news: Vec<String> =
            news.iter().map(|entry| format!("{:?} {}", entry.event.happened, entry.event.alert.id())).collect();
        seen += news.len() as u64;
        said.push(format!("{} {} {news:?}", update.at.monotonic_ns, standing.watched_ns));
    };
    for Second { tick_ns, record } in seconds {
        pipeline.take(Input::Edge { slot: 11, record });
        tick(&mut pipeline, *tick_ns).into_iter().for_each(&mut say);
    }
    say(pipeline.finish());
    said
}

/// Live, the kernel's timer fires late after a stall; a replay has only the ticks' own times. Both are the same input.
#[test]
fn a_stall_of_4_8_seconds_comes_to_the_same_live_and_in_a_replay() {
    let steady = (1..=60).map(|s| s * S);
    let stalled = steady.clone().map(|at| if (23..=27).contains(&(at / S)) { 27 * S + 800 * MS } else { at });
    let mut stalled: Vec<u64> = stalled.collect();
    stalled.dedup();
    let live = updates(judged(), &refused(stalled.iter().copied()));
    let replayed = updates(judged(), &refused(stalled.iter().copied()));
    assert_eq!(live, replayed);
    // The window that the stall ran into is the longer by it; what is left to the grid's next point is less than half a window,
    // and not judged.
    let lengths: Vec<u64> = live
        .iter()
        .map(|line| line.split(' ').nth(1).and_then(|ns| ns.parse::<u64>().ok()).expect("a length") / MS)
        .collect();
    assert_eq!(lengths[..7], [5000, 10_000, 15_000, 20_000, 27_800, 27_800, 32_800]);
    assert!(live.iter().any(|line| line.contains("Raised edge_errors-")), "{live:#?}");
}

#[test]
fn a_timer_that_fires_early_and_late_moves_no_window() {
    let jitter = |s: u64| {
        s * S + if s.is_multiple_of(2) { 200 * MS } else { 0 } - if s.is_multiple_of(5) { 240 * MS } else { 0 }
    };
    let lines = updates(judged(), &refused((1..=30).map(jitter)));
    assert_eq!(lines.len(), 7, "{lines:#?}");
}

/// The end of a stream is often the end of a window: an observation's time and the windows are on one grid.
#[test]
fn a_window_that_the_last_tick_ended_is_handed_out_once() {
    let tumbling = Some(Live { schedule: Schedule::Tumbling { span_ns: 5 * S }, every_ns: 5 * S });
    let mut pipeline = started(Wanted { live: tumbling, export_every_ns: Some(5 * S), ..judged() });
    for s in [5, 10, 15] {
        assert!(tick(&mut pipeline, s * S).is_some_and(|update| update.live.is_some()));
    }
    let last = pipeline.finish();
    let standing = last.incidents.expect("windows are judged");
    assert_eq!((standing.windows, standing.watched_ns), (3, 15 * S));
    assert!(last.live.is_none() && last.since_export.is_none() && last.total.is_some());
}

#[test]
fn only_wanted_windows_are_handed_out_and_an_update_is_shared() {
    let mut pipeline = started(live(Schedule::Tumbling { span_ns: 2 * S }, 2 * S));
    assert!(tick(&mut pipeline, S).is_none());
    let update = tick(&mut pipeline, 2 * S).expect("the window ended");
    assert!(update.live.is_some() && update.total.is_none() && update.incidents.is_none() && !update.is_final);
    let shared = update.clone();
    assert!(shared.live.zip(update.live).is_some_and(|(a, b)| Arc::ptr_eq(&a, &b)));
}

#[test]
fn a_sliding_window_is_handed_out_between_its_ends() {
    let mut pipeline = started(live(Schedule::Sliding { span_ns: 5 * S }, S));
    let lengths: Vec<u64> =
        (1..=12).map(|s| tick(&mut pipeline, s * S).and_then(|u| u.live).expect("each second").window_ns / S).collect();
    assert_eq!(lengths, [1, 2, 3, 4, 5, 6, 7, 8, 9, 5, 6, 7]);
}

#[test]
fn several_windows_of_one_state_each_count_what_is_theirs() {
    let mut pipeline = started(Wanted {
        live: Some(Live { schedule: Schedule::Tumbling { span_ns: S }, every_ns: S }),
        export_every_ns: Some(3 * S),
        ..judged()
    });
    let mut record = client(7, 2);
    let mut counts = Vec::new();
    for s in 1..=6 {
        connect(&mut record, ConnectOutcome::Ok, s);
        pipeline.take(Input::Edge { slot: 11, record: &record });
        let update = tick(&mut pipeline, s * S).expect("each second");
        let connects = |snapshot: &Option<Arc<Snapshot>>| {
            snapshot.as_ref().map(|snapshot| snapshot.edges[0].client_view.as_ref().expect("here").connects.ok())
        };
        counts.push((connects(&update.live), connects(&update.since_export)));
    }
    let some = |live, export| (Some(live), export);
    assert_eq!(
        counts,
        [some(1, None), some(2, None), some(3, Some(6)), some(4, None), some(5, None), some(6, Some(15))]
    );
    let last = pipeline.finish();
    let total = last.total.expect("wanted");
    assert_eq!((last.is_final, total.edges[0].client_view.as_ref().expect("here").connects.ok()), (true, 21));
}

/// A reader that missed updates compares with what stands, and has lost nothing but time.
#[test]
fn what_stands_can_be_read_from_any_update() {
    let seconds = refused((1..=120).map(|s| s * S));
    let mut pipeline = started(judged());
    let (mut each, mut late) = (Vec::new(), None);
    let mut seen = 0;
    for Second { tick_ns, record } in &seconds {
        pipeline.take(Input::Edge { slot: 11, record });
        let Some(standing) = tick(&mut pipeline, *tick_ns).and_then(|update| update.incidents) else { continue };
        for entry in standing.since(seen) {
            each.push((entry.event.alert.id().to_owned(), entry.event.happened));
            seen = entry.sequence;
        }
        late = Some(standing);
    }
    assert!(each.iter().any(|(_, happened)| *happened == Happened::Raised), "{each:?}");
    let late = late.expect("an update");
    let last: Vec<_> = late.since(0).iter().map(|entry| entry.event.alert.id().to_owned()).collect();
    let ids: std::collections::BTreeSet<&String> = each.iter().map(|(id, _)| id).collect();
    assert_eq!(last.iter().collect::<std::collections::BTreeSet<_>>(), ids);
}

#[test]
fn a_gap_in_the_stream_is_counted_and_in_no_window() {
    let mut pipeline = started(Wanted { live: Some(Live { schedule: Schedule::Whole, every_ns: S }), ..judged() });
    let mut record = client(7, 2);
    connect(&mut record, ConnectOutcome::Ok, 5);
    pipeline.take(Input::Edge { slot: 11, record: &record });
    tick(&mut pipeline, S);
    connect(&mut record, ConnectOutcome::Ok, 100);
    pipeline.take(Input::Gap { inputs: 42 });
    pipeline.take(Input::Edge { slot: 12, record: &record });
    let update = tick(&mut pipeline, 4 * S).expect("a refresh");
    let snapshot = update.live.expect("wanted");
    assert_eq!((update.gaps.count, update.gaps.inputs, snapshot.window_ns), (1, 42, 0));
    connect(&mut record, ConnectOutcome::Ok, 7);
    pipeline.take(Input::Edge { slot: 12, record: &record });
    let snapshot = tick(&mut pipeline, 5 * S).and_then(|update| update.live).expect("a refresh");
    let edge = &snapshot.edges[0];
    assert_eq!((snapshot.edges.len(), edge.client_view.as_ref().expect("here").connects.ok()), (1, 7));
    assert_eq!(snapshot.window_ns, S);
}

#[test]
fn nothing_is_judged_of_a_stream_without_time() {
    let mut pipeline = Pipeline::new(judged());
    pipeline.take(Input::Polled(&Polled::Missed(Default::default())));
    let last = pipeline.finish();
    assert_eq!((last.is_final, last.incidents.map(|standing| standing.windows)), (true, Some(0)));
}
