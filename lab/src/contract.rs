//! What every message must say, looked at from outside.

use crate::incident::Event;

/// More than a screen of a telephone takes.
const LONGEST: usize = 900;

/// What a line lacks.
pub(crate) fn lacks(event: &Event) -> Vec<&'static str> {
    let has_number = |text: &str| text.chars().any(|c| c.is_ascii_digit());
    let is_share = |value: Option<f64>| value.is_some_and(|value| (0.0..=1.0).contains(&value));
    let origin = event.origin.as_ref();
    // Its memory, its disks: nobody's in particular.
    let is_host = origin.and_then(|origin| origin.node.as_deref()) == Some("this host");
    let checks = [
        (event.client.is_some() || event.server.is_some() || is_host, "whom it is about"),
        (has_number(&event.what), "how much"),
        (event.place.len() > 10, "where to look"),
        (has_number(&event.why), "what it costs, as a number"),
        (event.evidence.len() >= 3, "three pieces of evidence"),
        (event.evidence.iter().all(|item| item.value.is_finite() && !item.unit.is_empty()), "units of its evidence"),
        (event.evidence.iter().any(|item| item.baseline.is_some()), "what is normal"),
        (origin.is_some_and(|origin| origin.node.is_some() && is_share(origin.confidence)), "an origin"),
        (!event.ruled_out.is_empty(), "what it is not"),
        (is_share(event.confidence), "how sure it is"),
        (event.what.len() + event.place.len() + event.why.len() <= LONGEST, "brevity"),
    ];
    checks.into_iter().filter(|(holds, _)| !holds).map(|(_, what)| what).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident;

    #[test]
    fn what_is_missing_is_named() {
        let whole = r#"{"ts":1,"event":"raised","id":"a-1","signal":"a","severity":"warn","client":"a","server":"b:1",
            "what":"12% fail","where":"a:1: ss -ltn","why":"3 calls/s lost","confidence":0.9,"ruled_out":["loss: 0"],
            "evidence":[{"name":"x","value":1,"unit":"%","baseline":0},{"name":"y","value":1,"unit":"s","baseline":null},
            {"name":"z","value":1,"unit":"s","baseline":null}],"origin":{"node":"b","confidence":0.5}}"#;
        let event = incident::parse(&whole.replace('\n', "")).expect("a line").remove(0);
        assert_eq!(lacks(&event), [""; 0]);
        let mut without = event.clone();
        without.why = "callers suffer".into();
        without.evidence.pop();
        without.origin = None;
        assert_eq!(lacks(&without), ["what it costs, as a number", "three pieces of evidence", "an origin"]);
    }
}
