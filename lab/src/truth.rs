//! The truth of a run, from the script and the applications: `truth.jsonl`, written before any output of weir is read.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, Result, ensure};
use serde::{Deserialize, Serialize};

use crate::measured::{Measured, Second};

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Truth {
    /// Which scenario, such as `F01`.
    pub(crate) scenario: String,
    /// Decides arrivals and offsets.
    pub(crate) seed: u64,
    pub(crate) kind: Kind,
    /// When weir began to observe, seconds since 1970 like the others.
    pub(crate) from: f64,
    /// The fault or the look-alike begins.
    pub(crate) t0: f64,
    /// The fault is over.
    pub(crate) t1: f64,
    /// The end of the run.
    pub(crate) until: f64,
    /// The edge that the scenario is about, for readers.
    pub(crate) edge: At,
    /// Incidents due, each with its own time.
    pub(crate) must: Vec<Expected>,
    /// Incidents that are allowed.
    pub(crate) may: Vec<Expected>,
    /// Incidents that are excluded by name. Everything that is neither in `must` nor in `may` is wrong.
    pub(crate) must_not: Vec<Expected>,
    /// weir's `--learn`.
    pub(crate) learn_s: u64,
    /// Names and ports of all services in the scenarios.
    pub(crate) lab: Vec<String>,
    /// What the applications measured, in each phase.
    pub(crate) measured: BTreeMap<String, Measured>,
    /// The share of all processors' time that was used, by the whole host, in each phase.
    #[serde(default)]
    pub(crate) busy: BTreeMap<String, f64>,
    /// What the applications measured by the second, by application.
    pub(crate) seconds: BTreeMap<String, Vec<Second>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Fault,
    /// No alert is right.
    Healthy,
}

/// An incident that is due, allowed or excluded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Expected {
    pub(crate) signal: String,
    /// Any of these; empty for any class.
    #[serde(default)]
    pub(crate) class: Vec<String>,
    #[serde(default)]
    pub(crate) at: At,
    /// Seconds from `t0` until it is due; only in `must`.
    #[serde(default)]
    pub(crate) ttd_s: Option<f64>,
}

/// Where an incident is: both ends, one of them, or anywhere.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct At {
    #[serde(default)]
    pub(crate) client: Option<String>,
    #[serde(default)]
    pub(crate) server: Option<String>,
    /// At either end.
    #[serde(default)]
    pub(crate) on: Option<String>,
}

impl Truth {
    /// Reads one, and checks that it makes sense.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let truth: Self = serde_json::from_str(text)?;
        let Self { scenario, from, t0, t1, until, .. } = &truth;
        ensure!(!scenario.is_empty() && scenario.chars().all(char::is_alphanumeric), "{scenario:?} is no scenario");
        ensure!(from <= t0 && t0 < t1 && t1 <= until, "times are out of order: {from} {t0} {t1} {until}");
        for must in &truth.must {
            ensure!(must.ttd_s.is_some(), "{} must be raised, but not by when: no ttd_s", must.signal);
        }
        Ok(truth)
    }

    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        Self::parse(text.trim_end()).with_context(|| format!("{} is no truth of a run", path.display()))
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string(self).context("encode the truth")? + "\n";
        fs::write(path, text).with_context(|| format!("write {}", path.display()))
    }
}

impl At {
    /// Whether an incident with these ends is at this place. The port of a server decides where both have one, as a server may
    /// have lost its name; an incident without a client contradicts none.
    pub(crate) fn holds(&self, client: Option<&str>, server: Option<&str>) -> bool {
        let client = client.map(bare);
        let client = client.as_deref();
        let client_fits = |wanted: &str| client.is_none_or(|client| client == wanted);
        let server_fits = |wanted: &str| server.is_some_and(|server| same_service(server, wanted));
        let on = |wanted: &str| {
            client.is_some_and(|client| same_service(client, wanted))
                || server.is_some_and(|server| same_service(server, wanted))
        };
        self.client.as_deref().is_none_or(client_fits)
            && self.server.as_deref().is_none_or(server_fits)
            && self.on.as_deref().is_none_or(on)
    }

    /// For readers.
    pub(crate) fn text(&self) -> String {
        match (&self.client, &self.server, &self.on) {
            (Some(client), Some(server), _) => format!("{client} -> {server}"),
            (None, Some(server), _) => format!("* -> {server}"),
            (Some(client), None, _) => format!("{client} -> *"),
            (None, None, Some(on)) => on.clone(),
            (None, None, None) => "anywhere".to_owned(),
        }
    }
}

/// The service's name, without the process that an incident may name: `app.py (pid 812)`.
fn bare(name: &str) -> String {
    let process = name.split_once(" (pid ").and_then(|(name, rest)| Some((name, rest.split_once(')')?)));
    match process {
        Some((name, (pid, rest))) if pid.bytes().all(|b| b.is_ascii_digit()) => format!("{name}{rest}"),
        _ => name.to_owned(),
    }
}

/// By port if both have one, else by name.
pub(crate) fn same_service(one: &str, other: &str) -> bool {
    let (one, other) = (bare(one), bare(other));
    match (one.rsplit_once(':'), other.rsplit_once(':')) {
        (Some((_, one)), Some((_, other))) => one == other,
        (Some((name, _)), None) => name == other,
        (None, Some((name, _))) => one == name,
        (None, None) => one == other,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn expected(signal: &str, ttd_s: Option<f64>) -> Expected {
        let at = At { client: Some("app.py".into()), server: Some("postgres:5432".into()), on: None };
        Expected { signal: signal.into(), class: Vec::new(), at, ttd_s }
    }

    /// A fault from 1040 to 1080.
    pub(crate) fn truth(kind: Kind, must: Vec<Expected>) -> Truth {
        Truth {
            scenario: "F01".into(),
            seed: 1,
            kind,
            from: 1000.0,
            t0: 1040.0,
            t1: 1080.0,
            until: 1120.0,
            edge: At::default(),
            must,
            may: Vec::new(),
            must_not: Vec::new(),
            learn_s: 30,
            lab: vec!["app.py".into(), "postgres:5432".into()],
            measured: BTreeMap::new(),
            busy: BTreeMap::new(),
            seconds: BTreeMap::new(),
        }
    }

    #[test]
    fn a_truth_is_read_as_it_was_written() {
        let truth = truth(Kind::Fault, vec![expected("pool_exhausted", Some(15.0))]);
        let text = serde_json::to_string(&truth).expect("JSON");
        assert_eq!(Truth::parse(&text).expect("a truth"), truth);
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_the_reason() {
        let whole = truth(Kind::Fault, vec![expected("pool_exhausted", Some(15.0))]);
        let refused = |change: fn(&mut Truth), reason: &str| {
            let mut truth = whole.clone();
            change(&mut truth);
            let error = Truth::parse(&serde_json::to_string(&truth).expect("JSON")).expect_err(reason);
            assert!(error.to_string().contains(reason), "{error}");
        };
        refused(|truth| truth.t1 = truth.t0, "times are out of order");
        refused(|truth| truth.must[0].ttd_s = None, "not by when");
        refused(|truth| truth.scenario = "../F01".into(), "is no scenario");
        assert!(Truth::parse("").is_err() && Truth::parse("{}").is_err() && Truth::parse("[1]").is_err());
        assert!(
            Truth::parse(r#"{"scenario":"F01","surprise":1}"#).expect_err("a field").to_string().contains("surprise")
        );
    }

    #[test]
    fn a_place_is_known_by_its_client_and_its_port() {
        let at = expected("x", None).at;
        assert!(at.holds(Some("app.py"), Some("postgres:5432")));
        assert!(at.holds(None, Some("10.78.3.1:5432")), "a server that has lost its name");
        assert!(at.holds(Some("app.py (pid 812)"), Some("postgres:5432")), "one process of it");
        assert!(
            !at.holds(Some("app.py (pid 8"), Some("postgres:5432")) && !at.holds(Some("app.py (pid x)"), Some(":5432"))
        );
        assert!(!at.holds(Some("load.py"), Some("postgres:5432")));
        assert!(!at.holds(Some("app.py"), Some("redis:6379")));
        assert!(!at.holds(Some("app.py"), None));
        let on = At { on: Some("web.py".into()), ..At::default() };
        assert!(on.holds(Some("web.py"), None) && on.holds(Some("load.py"), Some("web.py (pid 3):8080")));
        assert!(!on.holds(Some("load.py"), Some("up.py:9000")));
        assert!(At::default().holds(None, None), "anywhere");
    }
}
