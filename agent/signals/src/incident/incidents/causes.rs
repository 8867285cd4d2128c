//! Which incidents are only what others lead to: who reads the one needs no call for the other.
//!
//! A server without descriptors accepts nothing: its accept queue fills, the kernel drops who comes next, and requests hang
//! in it. That is one incident and three consequences. A consequence says what it is `caused_by`, and is mere information;
//! its cause is as bad as the worst of them. It stays a consequence for the minute in which an ended cause is remembered:
//! what has piled up is not gone at once.

use std::collections::BTreeMap;

use super::{Incident, Signals};
use crate::{
    incident::severity::{Level, TwoKeys},
    subject::Subject,
};
use weir_engine::Service;

/// What leads to what, of one service. No consequence is a cause: there are no chains to follow.
const LINKS: &[Link] = &[Link {
    cause: "fds_exhausted",
    // Only without any: what soon will be so leads to nothing yet.
    class: Some("none left"),
    effects: &["accept_queue", "listen_overflow", "hung_request"],
}];

struct Link {
    cause: &'static str,
    /// Of this class alone.
    class: Option<&'static str>,
    effects: &'static [&'static str],
}

struct Cause {
    link: &'static Link,
    service: Service,
    id: String,
    /// It does so now; else it has ended of late.
    leads: bool,
}

/// Finds the cause of each incident that has one, as things stand at the end of a window.
pub(super) fn link(signals: &mut Signals) {
    let causes: Vec<Cause> = LINKS.iter().flat_map(|link| causes(link, signals)).collect();
    let mut hurt: BTreeMap<&str, TwoKeys> = BTreeMap::new();
    for effect in LINKS.iter().flat_map(|link| link.effects) {
        for (unit, entry) in signals.get_mut(effect).into_iter().flatten() {
            let Some(level) = entry.alarm.level() else { continue };
            let Some(incident) = entry.incident.as_deref_mut() else { continue };
            let found = causes.iter().find(|cause| incident.alert.caused_by() == Some(&cause.id));
            let found = found.or_else(|| causes.iter().find(|cause| cause.explains(effect, unit)));
            incident.alert.because_of(found.map(|cause| cause.id.clone()));
            if let (Some(cause), Some(keys), Level::Critical) = (found, entry.keys, level) {
                hurt.insert(&cause.id, keys);
            }
        }
    }
    for link in LINKS {
        for entry in signals.get_mut(link.cause).into_iter().flat_map(BTreeMap::values_mut) {
            let id = entry.incident.as_deref().map(Incident::id);
            entry.lent = id.and_then(|id| hurt.get(id).copied());
        }
    }
}

fn causes(link: &'static Link, signals: &Signals) -> Vec<Cause> {
    let units = signals.get(link.cause).into_iter().flatten();
    let known = units.filter_map(|(unit, entry)| {
        let (alert, service) = (&entry.incident.as_deref()?.alert, unit.about()?.clone());
        let is_meant = link.class.is_none_or(|class| alert.class() == Some(class));
        Some(Cause { link, service, id: alert.id().to_owned(), leads: is_meant && entry.alarm.level().is_some() })
    });
    known.collect()
}

impl Cause {
    fn explains(&self, effect: &str, unit: &Subject) -> bool {
        self.leads && self.link.effects.contains(&effect) && unit.about() == Some(&self.service)
    }
}

#[cfg(test)]
mod tests;
