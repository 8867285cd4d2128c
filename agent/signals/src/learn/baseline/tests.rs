use proptest::prelude::*;

use super::*;

const S: u64 = 1_000_000_000;
const AT_ONCE: Learning = Learning { age_ns: 0, events: 1, compares: true };

/// Ten-second windows of 100 events from `from_s` on; returns the time of the last.
fn fed(baseline: &mut Baseline, from_s: u64, values: impl IntoIterator<Item = f64>) -> u64 {
    let mut now_ns = from_s * S;
    for value in values {
        now_ns += 10 * S;
        baseline.take(now_ns, value, 100, false);
    }
    now_ns
}

#[test]
fn it_is_the_median_and_outliers_do_not_move_it() {
    let mut baseline = Baseline::default();
    let noisy = (0..300).map(|i| if i % 10 == 0 { 1000.0 } else { 0.020 * [0.9, 1.0, 1.1][i % 3] });
    let now_ns = fed(&mut baseline, 0, noisy);
    let normal = baseline.normal(now_ns, Learning::USUAL).expect("learned");
    assert!((normal.value / 0.020 - 1.0).abs() < 0.02, "{normal:?}");
    assert!((0.1..0.2).contains(&normal.sigma), "{normal:?}");
    assert!(normal.z(0.060).expect("a logarithm") > 5.0);
}

#[test]
fn a_constant_value_has_a_sigma_of_five_percent() {
    let mut baseline = Baseline::default();
    let now_ns = fed(&mut baseline, 0, [3.0; 100]);
    let normal = baseline.normal(now_ns, Learning::USUAL).expect("learned");
    assert!((normal.sigma - 0.05).abs() < 1e-6 && (normal.value - 3.0).abs() < 0.01, "{normal:?}");
    assert!((normal.z(3.0 * 1.05).expect("z") - 1.0).abs() < 0.1);
}

#[test]
fn nothing_is_normal_before_it_is_learned() {
    let mut baseline = Baseline::default();
    let now_ns = fed(&mut baseline, 0, [1.0; 60]);
    assert_eq!(baseline.normal(now_ns, Learning::USUAL), None, "590 s");
    let now_ns = fed(&mut baseline, 600, [1.0]);
    assert!(baseline.normal(now_ns, Learning::USUAL).is_some());
    let mut rare = Baseline::default();
    for i in 0..100 {
        rare.take(i * 10 * S, 1.0, 4, false);
    }
    assert_eq!(rare.normal(1000 * S, Learning::USUAL), None, "400 events");
    assert!(rare.normal(1000 * S, Learning::of(30 * S)).is_some());
}

#[test]
fn without_comparison_everything_is_far_above_normal() {
    let alone = Learning { compares: false, ..Learning::USUAL };
    let normal = Baseline::default().normal(0, alone).expect("before anything is learned");
    assert!((1e6..f64::INFINITY).contains(&normal.times(0.001)), "{normal:?}");
}

#[test]
fn a_shorter_learning_time_asks_for_fewer_events() {
    assert_eq!(Learning::of(600 * S), Learning::USUAL);
    assert_eq!(Learning::of(30 * S), Learning { age_ns: 30 * S, events: 25, compares: true });
    assert_eq!(Learning::of(0).events, 20);
    assert_eq!(Learning::of(u64::MAX).events, 500);
}

#[test]
fn a_fault_is_not_learned_while_its_alarm_is_not_ok() {
    let mut baseline = Baseline::default();
    let mut now_ns = fed(&mut baseline, 0, [0.010; 100]);
    let before = baseline.normal(now_ns, Learning::USUAL);
    for _ in 0..1000 {
        now_ns += 10 * S;
        assert!(!baseline.take(now_ns, 10.0, 100, true));
    }
    assert_eq!(baseline.normal(now_ns, Learning::USUAL), before);
    // The time of the fault allows no rise afterwards.
    for _ in 0..6 {
        now_ns += 10 * S;
        baseline.take(now_ns, 0.010, 100, false);
    }
    let after = baseline.normal(now_ns, Learning::USUAL).expect("learned");
    assert!(after.times(0.010) > 0.97, "{after:?}");
}

#[test]
fn frozen_time_allows_no_rise() {
    let mut baseline = Baseline::over(1);
    baseline.take(0, 1.0, 1, false);
    baseline.take(60 * S, 2.0, 1, true);
    baseline.take(70 * S, 2.0, 1, false);
    let normal = baseline.normal(70 * S, AT_ONCE).expect("learned");
    assert!(normal.value < 1.005, "ten seconds' worth: {normal:?}");
}

#[test]
fn it_rises_slowly_and_falls_at_once() {
    let mut baseline = Baseline::default();
    let now_ns = fed(&mut baseline, 0, [0.010; 10]);
    // Twice as much for ten minutes, which the median follows after the first windows.
    let then_ns = fed(&mut baseline, now_ns / S, [0.020; 60]);
    let normal = baseline.normal(then_ns, AT_ONCE).expect("learned");
    let minutes = 10.0;
    assert!(normal.value <= 0.010 * RISE_PER_MINUTE.powf(minutes) * 1.001, "{normal:?}");
    assert!(normal.value > 0.011, "{normal:?}");
    let then_ns = fed(&mut baseline, then_ns / S, [0.001; 200]);
    let normal = baseline.normal(then_ns, AT_ONCE).expect("learned");
    assert!((normal.value / 0.001 - 1.0).abs() < 0.01, "{normal:?}");
}

#[test]
fn values_that_are_not_finite_are_not_taken() {
    let mut baseline = Baseline::default();
    for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY, 0.0, -1.0] {
        assert!(!baseline.take(S, value, 1, false), "{value}");
    }
    assert!(!baseline.take(S, 1.0, 0, false), "made of nothing");
    assert_eq!(baseline.normal(u64::MAX, AT_ONCE), None);
    assert!(baseline.take(S, f64::MIN_POSITIVE, 1, false) && baseline.take(S, f64::MAX, u64::MAX, false));
    assert!(baseline.take(0, 1.0, u64::MAX, false), "time went back");
    assert!(
        baseline.normal(u64::MAX, AT_ONCE).is_some_and(|normal| normal.value.is_finite() && normal.z(0.0).is_none())
    );
}

#[test]
fn a_baseline_is_small() {
    assert!(size_of::<Baseline>() <= 80, "{}", size_of::<Baseline>());
    let mut baseline = Baseline::default();
    fed(&mut baseline, 0, (0..5000).map(f64::from));
    assert!(baseline.windows.len() <= WINDOWS && baseline.windows.capacity() <= 512);
}

proptest! {
    /// Any values at any times, frozen or not.
    #[test]
    fn it_never_rises_faster_than_two_percent_a_minute(
        windows in prop::collection::vec((0u64..300, -20.0f64..40.0, 1u64..1000, prop::bool::weighted(0.2)), 1..600),
    ) {
        let mut baseline = Baseline::default();
        let mut now_ns = 0;
        let mut before: Option<(u64, f64)> = None;
        for (seconds, x, events, frozen) in windows {
            now_ns += seconds * S;
            baseline.take(now_ns, x.exp(), events, frozen);
            let Some(normal) = baseline.normal(now_ns, AT_ONCE) else { continue };
            if let Some((then_ns, value)) = before {
                // Since the last change, which is at most six windows ago.
                let minutes = (now_ns - then_ns) as f64 / MINUTE_NS as f64;
                let allowed = value * RISE_PER_MINUTE.powf(minutes) * 1.0001;
                prop_assert!(normal.value <= allowed, "{} > {allowed} after {minutes} minutes", normal.value);
            }
            if before.is_none_or(|(_, value)| value != normal.value) {
                before = Some((now_ns, normal.value));
            }
        }
    }

    #[test]
    fn nothing_panics(
        windows in prop::collection::vec((any::<u64>(), any::<f64>(), any::<u64>(), any::<bool>()), 0..500),
    ) {
        let mut baseline = Baseline::default();
        for (now_ns, value, events, frozen) in windows {
            baseline.take(now_ns, value, events, frozen);
            if let Some(normal) = baseline.normal(now_ns, AT_ONCE) {
                prop_assert!(normal.value.is_finite() && normal.value > 0.0 && normal.sigma >= 0.0499);
            }
        }
    }
}
