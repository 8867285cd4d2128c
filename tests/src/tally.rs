//! Comparing and waiting.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::machine::patient;

/// Asserts that `actual` is within `share` of `expected`.
///
/// # Panics
/// If it is not.
pub fn close(what: &str, actual: f64, expected: f64, share: f64) {
    let error = (actual - expected) / expected;
    assert!(error.abs() <= share, "{what}: {actual} where {expected} was expected: off by {:.3}%", error * 100.0);
    println!("{what}: {actual} for {expected}, off by {:.3}%", error * 100.0);
}

/// Waits until `condition` holds.
///
/// # Panics
/// If it does not within `deadline`.
pub fn wait_until(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = patient(deadline);
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < deadline, "waited {deadline:?} for {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

/// The middle one of an odd number of values.
///
/// # Panics
/// If there are none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
