//! What every message must contain, checked from outside.

use crate::incident::Event;

/// Characters that fit on the screen of a telephone: a choice.
const LONGEST: usize = 900;

/// What a message lacks.
pub(crate) fn lacks(event: &Event) -> Vec<&'static str> {
    let has_number = |text: &str| text.chars().any(|c| c.is_ascii_digit());
    let is_share = |value: Option<f64>| value.is_some_and(|value| (0.0..=1.0).contains(&value));
    let origin = event.origin.as_ref();
    // Memory and disks belong to no service.
    let is_host = origin.and_then(|origin| origin.node.as_deref()) == Some("this host");
    let checks = [
        (event.client.is_some() || event.server.is_some() || is_host, "a service, or the host"),
        (has_number(&event.what), "an amount"),
        (event.place.len() > 10, "a place to look"),
        (has_number(&event.why), "its cost, as a number"),
        (event.evidence.len() >= 3, "three pieces of evidence"),
        (event.evidence.iter().all(|item| item.value.is_finite() && !item.unit.is_empty()), "units of its evidence"),
        (event.evidence.iter().any(|item| item.baseline.is_some()), "a baseline"),
        (origin.is_some_and(|origin| origin.node.is_some() && is_share(origin.confidence)), "an origin"),
        (!event.ruled_out.is_empty(), "something ruled out"),
        (is_share(event.confidence), "a confidence"),
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
        assert_eq!(lacks(&without), ["its cost, as a number", "three pieces of evidence", "an origin"]);
    }
}
