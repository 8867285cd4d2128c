//! What `weir signals -o jsonl` said, and how long it took.

use std::{
    thread::sleep,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::Value;

use crate::weir;

/// From a fault to the incident at most: three windows.
pub const DETECTED_WITHIN_S: f64 = 15.0;

/// Seconds since 1970.
///
/// # Panics
/// Before.
pub fn unix_s() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs_f64()
}

/// Does something ten times a second.
pub fn for_a_while(span: Duration, mut work: impl FnMut()) {
    let began = Instant::now();
    while began.elapsed() < span {
        work();
        sleep(Duration::from_millis(100));
    }
}

/// The events that were printed.
///
/// # Panics
/// If one is no JSON.
pub fn events(printed: &str) -> Vec<Value> {
    printed.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
}

/// Those of one signal, each of which says all that an alert must.
///
/// # Panics
/// If one does not.
pub fn events_of(printed: &str, signal: &str) -> Vec<Value> {
    let mut events = events(printed);
    events.retain(|event| event["signal"] == signal);
    events.iter().for_each(assert_says_all);
    events
}

/// Those of one signal at one server: other tests on the host may have incidents of their own.
///
/// # Panics
/// If one does not say all that an alert must.
pub fn events_at(printed: &str, signal: &str, server: &str) -> Vec<Value> {
    let mut events = events_of(printed, signal);
    events.retain(|event| event["server"] == server);
    events
}

/// An alert has what, where, why, evidence with something normal, an origin, and something ruled out.
///
/// # Panics
/// If it has not.
pub fn assert_says_all(event: &Value) {
    for field in ["what", "where", "why"] {
        assert!(event[field].as_str().is_some_and(|text| text.len() > 10), "{field} of {event}");
    }
    assert!(event["what"].as_str().is_some_and(|what| what.contains(|c: char| c.is_ascii_digit())), "{event}");
    let evidence = event["evidence"].as_array().expect("a list");
    assert!(evidence.len() >= 3, "{event}");
    assert!(evidence.iter().any(|item| item["baseline"].is_number()), "{event}");
    assert!(!event["ruled_out"].as_array().expect("a list").is_empty(), "{event}");
    assert!(event["origin"]["confidence"].is_number(), "{event}");
}

/// There is nothing to say, but for a host that others keep busy.
///
/// # Panics
/// If there is.
pub fn assert_nothing(document: &Value) {
    for nothing in ["incidents", "pending"] {
        let said = document[nothing].as_array().expect("a list").iter();
        let of_the_test: Vec<&Value> = said.filter(|incident| incident["signal"] != "pressure").collect();
        assert!(of_the_test.is_empty(), "{nothing} of {document}");
    }
}

/// A text of an event.
///
/// # Panics
/// If it has none.
pub fn text<'a>(event: &'a Value, field: &str) -> &'a str {
    event[field].as_str().unwrap_or_else(|| panic!("no {field} in {event}"))
}

/// Raised in time.
///
/// # Panics
/// If it was not.
pub fn assert_timely(event: &Value, fault_s: f64, within_s: f64) {
    assert_eq!(text(event, "event"), "raised", "{event}");
    let after_s = event["ts"].as_f64().expect("a time") - fault_s;
    println!("raised after {after_s:.1} s: {event}");
    assert!((0.0..within_s).contains(&after_s), "{after_s} s after the fault: {event}");
}

/// A recording comes to the same, byte for byte.
///
/// # Panics
/// If it does not.
pub fn assert_replays(file: &str, printed: &str, arguments: &[&str]) {
    let again = weir::run(&[&["signals", "--replay", file, "-o", "jsonl"], arguments].concat());
    assert_eq!(String::from_utf8_lossy(&again.stdout), printed, "the same from the recording");
}
