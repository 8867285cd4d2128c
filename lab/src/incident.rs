//! weir's output: its JSON lines, and the incidents in them.

use anyhow::{Context as _, Result, bail};
use serde::{Deserialize, Serialize};

/// One line. Fields that a later weir adds are ignored.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Event {
    pub(crate) ts: f64,
    pub(crate) event: String,
    pub(crate) id: String,
    pub(crate) signal: String,
    pub(crate) severity: Severity,
    #[serde(default)]
    pub(crate) class: Option<String>,
    #[serde(default)]
    pub(crate) client: Option<String>,
    #[serde(default)]
    pub(crate) server: Option<String>,
    #[serde(default)]
    pub(crate) what: String,
    #[serde(default, rename = "where")]
    pub(crate) place: String,
    #[serde(default)]
    pub(crate) why: String,
    #[serde(default)]
    pub(crate) evidence: Vec<Evidence>,
    #[serde(default)]
    pub(crate) origin: Option<Origin>,
    #[serde(default)]
    pub(crate) ruled_out: Vec<String>,
    #[serde(default)]
    pub(crate) confidence: Option<f64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Severity {
    Info,
    Warn,
    Critical,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Evidence {
    pub(crate) name: String,
    pub(crate) value: f64,
    #[serde(default)]
    pub(crate) unit: String,
    #[serde(default)]
    pub(crate) baseline: Option<f64>,
    /// Seconds from its begin to the event.
    #[serde(default)]
    pub(crate) window_s: f64,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Origin {
    #[serde(default)]
    pub(crate) node: Option<String>,
    #[serde(default)]
    pub(crate) confidence: Option<f64>,
}

/// An incident from its begin, or its return, to its end.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Episode {
    /// Never empty.
    pub(crate) events: Vec<Event>,
    /// Its end, if it was seen.
    pub(crate) ended: Option<f64>,
}

impl Event {
    pub(crate) fn is_end(&self) -> bool {
        matches!(self.event.as_str(), "resolved" | "went_silent")
    }

    /// Whether it asks for action.
    pub(crate) fn is_alert(&self) -> bool {
        self.severity >= Severity::Warn && !self.is_end()
    }

    /// For readers.
    pub(crate) fn text(&self) -> String {
        let class = self.class.as_deref().map(|class| format!(" ({class})")).unwrap_or_default();
        let client = self.client.as_deref().unwrap_or("*");
        format!("{}{class} {client} -> {}", self.signal, self.server.as_deref().unwrap_or("*"))
    }
}

impl Episode {
    /// Its first alert.
    pub(crate) fn first_alert(&self) -> Option<&Event> {
        self.events.iter().find(|event| event.is_alert())
    }

    pub(crate) fn worst(&self) -> Severity {
        self.events.iter().map(|event| event.severity).max().unwrap_or(Severity::Info)
    }
}

/// Parses the output of `weir signals -o jsonl`.
pub(crate) fn parse(printed: &str) -> Result<Vec<Event>> {
    let lines = printed.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(n, line)| {
            serde_json::from_str(line).with_context(|| format!("line {} is no incident: {line:.80}", n + 1))
        })
        .collect()
}

/// Groups events into episodes.
pub(crate) fn episodes(events: &[Event]) -> Result<Vec<Episode>> {
    let mut episodes: Vec<Episode> = Vec::new();
    for event in events {
        let open = episodes.iter_mut().find(|episode| episode.ended.is_none() && episode.events[0].id == event.id);
        match (event.event.as_str(), open) {
            ("raised" | "continued", None) => episodes.push(Episode { events: vec![event.clone()], ended: None }),
            ("resolved" | "went_silent", Some(episode)) => {
                episode.events.push(event.clone());
                episode.ended = Some(event.ts);
            }
            (_, Some(episode)) => episode.events.push(event.clone()),
            (what, None) => bail!("{} is {what:?} without having been raised", event.id),
        }
    }
    Ok(episodes)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn event(ts: f64, event: &str, signal: &str, severity: Severity) -> Event {
        Event {
            ts,
            event: event.into(),
            id: format!("{signal}-1"),
            signal: signal.into(),
            severity,
            class: None,
            client: Some("app.py".into()),
            server: Some("postgres:5432".into()),
            what: String::new(),
            place: String::new(),
            why: String::new(),
            evidence: Vec::new(),
            origin: None,
            ruled_out: Vec::new(),
            confidence: None,
        }
    }

    #[test]
    fn lines_are_events_whatever_else_they_carry() {
        let line = r#"{"ts":1.5,"event":"raised","id":"a-1","signal":"a","severity":"warn","class":null,"later":[{}]}"#;
        let events = parse(&format!("{line}\n\n{line}\n")).expect("two lines");
        assert_eq!((events.len(), events[0].ts, events[0].severity), (2, 1.5, Severity::Warn));
    }

    #[test]
    fn a_bad_line_is_named() {
        let line = r#"{"ts":1,"event":"raised","id":"a-1","signal":"a","severity":"warn"}"#;
        for bad in ["no JSON", "{}", r#"{"ts":1,"event":"raised","id":"a","signal":"a","severity":"loud"}"#] {
            let error = parse(&format!("{line}\n{bad}\n")).expect_err("the second line");
            assert!(error.to_string().starts_with("line 2 is no incident"), "{error}");
        }
    }

    #[test]
    fn an_incident_that_returns_is_another_episode() {
        let events = [
            event(1.0, "raised", "a", Severity::Info),
            event(2.0, "level", "a", Severity::Warn),
            event(3.0, "resolved", "a", Severity::Warn),
            event(4.0, "continued", "a", Severity::Warn),
        ];
        let episodes = episodes(&events).expect("in order");
        assert_eq!((episodes.len(), episodes[0].ended, episodes[1].ended), (2, Some(3.0), None));
        assert_eq!(episodes[0].first_alert().map(|event| event.ts), Some(2.0));
        assert!(super::episodes(&events[1..2]).is_err(), "worse, but never raised");
    }
}
