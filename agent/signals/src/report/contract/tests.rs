use super::*;
use crate::report::evidence::Compared;
use weir_engine::Kind;

const WINDOW_NS: u64 = 5_000_000_000;

fn ratio(value: f64) -> Quantity {
    Quantity::new(value, Measure::Ratio).expect("a number")
}

fn failing(baseline: Option<Compared>) -> Evidence {
    Evidence::new("failing calls", ratio(0.5), baseline, WINDOW_NS, 50).expect("evidence")
}

#[test]
fn what_has_amount_phrase_and_baseline() {
    let what = What::new(&failing(Some(Compared::Learned(0.001))), "of calls fail: refused");
    assert_eq!(what.map(|w| w.to_string()), Ok("50% of calls fail: refused (50 in 5 s, normal 0.1%)".into()));
    let expected = What::new(&failing(Some(Compared::Expected(0.0))), "of calls fail");
    assert_eq!(expected.map(|w| w.to_string()), Ok("50% of calls fail (50 in 5 s, expected 0%)".into()));
}

#[test]
fn what_needs_a_baseline() {
    assert_eq!(What::new(&failing(None), "of calls fail"), Err(Defect::NoBaseline));
}

#[test]
fn evidence_is_finite_and_has_events_and_time() {
    let new = |name, baseline, window_ns, n| Evidence::new(name, ratio(0.5), baseline, window_ns, n).err();
    assert_eq!(new("share", None, WINDOW_NS, 0), Some(Defect::NoSample));
    assert_eq!(new("share", None, 0, 1), Some(Defect::NoSample));
    assert_eq!(new("  ", None, WINDOW_NS, 1), Some(Defect::NoWords));
    assert_eq!(new("share", Some(Compared::Learned(f64::NAN)), WINDOW_NS, 1), Some(Defect::NotANumber));
    assert_eq!(new("share", None, WINDOW_NS, 1), None);
}

#[test]
fn phrases_have_words_and_fit() {
    let evidence = failing(Some(Compared::Expected(0.0)));
    for (phrase, defect) in [("", Defect::NoWords), ("50 %", Defect::NoWords), (" \t ", Defect::NoWords)] {
        assert_eq!(What::new(&evidence, phrase), Err(defect), "{phrase:?}");
        assert_eq!(Why::new(ratio(0.5), phrase), Err(defect), "{phrase:?}");
        assert_eq!(RuledOut::new(phrase, ratio(0.5), "of it"), Err(defect), "{phrase:?}");
        assert_eq!(RuledOut::new("network", ratio(0.5), phrase), Err(defect), "{phrase:?}");
    }
    let long = "x".repeat(200);
    assert_eq!(What::new(&evidence, &long), Err(Defect::TooManyWords));
    assert_eq!(Why::new(ratio(0.5), &long), Err(Defect::TooManyWords));
    let cursor = What::new(&evidence, "of\x1b[2J\ncalls").map(|what| what.to_string());
    assert!(cursor.is_ok_and(|what| !what.contains(['\x1b', '\n'])));
}

#[test]
fn where_is_a_place_and_a_command() {
    let place = Place::Address("10.0.0.2:6379".parse().expect("address"));
    let place_of = |phrase, command| Where::new(phrase, &place, command).map(|w| w.to_string());
    assert_eq!(
        place_of("what listens at", "ss -ltnp 'sport = :6379'"),
        Ok("what listens at 10.0.0.2:6379: ss -ltnp 'sport = :6379'".into())
    );
    assert_eq!(place_of("", "ss -ltnp"), Err(Defect::NoWords));
    assert_eq!(place_of("what listens at", ""), Err(Defect::NoWords));
    let process = Place::Process { name: "re\x1bdis".into(), pid: 7 };
    assert_eq!(process.to_string(), "re\u{fffd}dis (pid 7)");
    let service = Service { kind: Kind::Executable, namespace: Some("prod".into()), name: "redis".into() };
    assert_eq!(Place::Service(service).to_string(), "prod/redis");
}

#[test]
fn confidence_is_a_number_from_0_to_1() {
    assert_eq!(Confidence::new(f64::NAN), Err(Defect::NotANumber));
    let value = |x| Confidence::new(x).map(Confidence::value);
    assert_eq!((value(-1.0), value(f64::INFINITY), value(0.3)), (Ok(0.0), Ok(1.0), Ok(0.3)));
}

#[test]
fn an_origin_has_a_name() {
    let confidence = Confidence::new(0.9).expect("a number");
    assert_eq!(Origin::new(&" ", confidence), Err(Defect::NoWords));
    assert_eq!(Origin::new(&"x".repeat(81), confidence), Err(Defect::TooManyWords));
    assert!(Origin::new(&"redis", confidence).is_ok() && Origin::new(&"10.0.0.2", confidence).is_ok());
}

#[test]
fn every_defect_has_a_place_and_a_reason() {
    for (i, defect) in Defect::ALL.into_iter().enumerate() {
        assert_eq!(defect as usize, i);
        assert!(!defect.reason().is_empty());
    }
}
