//! What missing probes leave unknown: such a field is null and its reason names the probe, instead of a zero that looks like calm.

use std::borrow::Cow;

use weir_abi::ProbeName;
use weir_engine::{
    Snapshot,
    catalog::{About, EDGE, named},
};

// What the table and `weir explain` show of an edge beside the document, by the field whose marks and probes apply.
pub(super) const ROUNDS: About = named(EDGE, "rounds").about;
pub(super) const SENT: About = named(EDGE, "bytes_sent").about;
pub(super) const RECEIVED: About = named(EDGE, "bytes_received").about;
pub(super) const QUEUE_WAIT: About = named(EDGE, "receive_queue_wait_s").about;

/// Knows which fields of a snapshot are known.
#[derive(Clone, Copy)]
pub(super) struct Known<'a>(pub(super) &'a Snapshot);

impl Known<'_> {
    /// Whether all probes of this field run.
    pub(super) fn has(self, field: &About) -> bool {
        self.missing(field).is_none()
    }

    /// Whether the field needs arrivals and they were not timed all the window: what there is of it would mislead.
    pub(super) fn lacks_arrivals(self, field: &About) -> bool {
        field.needs.contains(&ProbeName::SkDataReady) && !self.0.degradation.times_queue_wait()
    }

    /// Whether all that the field needs was there all the window.
    pub(super) fn is_whole(self, field: &About) -> bool {
        self.has(field) && !self.lacks_arrivals(field)
    }

    /// A value of this field, or of what is made of it.
    pub(super) fn of<T>(self, field: &About, value: T) -> Result<T, Cow<'static, str>> {
        self.missing(field).map_or(Ok(value), |reason| Err(reason.into()))
    }

    /// Whether what is known of this field comes from a sample of sockets.
    pub(super) fn estimates(self, field: &About) -> bool {
        field.sampled && self.0.degradation.estimated()
    }

    /// Why the field is unknown: a probe of it does not run.
    pub(super) fn missing(self, field: &About) -> Option<String> {
        let needed = |name: &str| field.needs.iter().any(|probe| probe.as_str() == name);
        let missing = self.0.missing_probes.iter().find(|probe| needed(&probe.name))?;
        Some(format!("the probe {} is missing: see missing_probes", missing.name))
    }
}

#[cfg(test)]
mod tests {
    use weir_engine::{Engine, Input, ProbeState, Schedule, WindowId};

    use super::*;

    #[test]
    fn a_missing_probe_takes_its_fields_along_and_no_other() {
        let mut engine = Engine::new([Schedule::Whole]);
        let missing = Some("x".into());
        engine.take(Input::Probe(ProbeState { name: "sk_data_ready".into(), missing, provides: "y".into() }));
        let snapshot = engine.snapshot(WindowId::FIRST);
        let known = Known(&snapshot);
        assert_eq!(known.of(&ROUNDS, 3), Ok(3));
        let why = known.of(&QUEUE_WAIT, 3).expect_err("not known");
        assert_eq!(why, "the probe sk_data_ready is missing: see missing_probes");
        assert!(!known.has(&QUEUE_WAIT) && known.has(&SENT));
    }
}
