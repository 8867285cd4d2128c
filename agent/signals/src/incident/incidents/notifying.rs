//! Which incidents are notified of at the end of a window, within the limits of `notify`.

use std::{cmp::Reverse, collections::BTreeMap};

use super::{
    Incidents,
    entry::{Entry, Incident},
};
use crate::incident::{
    notify::{Notification, within},
    severity::Level,
};

impl Incidents {
    /// Pages first, then by how long an incident has been open. One that the host's limit withholds stays due and is
    /// counted once.
    pub(super) fn notify(&mut self) -> Vec<Notification> {
        let now_ns = self.at.monotonic_ns;
        let entries = self.entries.values_mut().flat_map(BTreeMap::values_mut);
        let mut due: Vec<&mut Incident> = entries.filter_map(unnotified).collect();
        due.sort_by_key(|incident| (Reverse(incident.alert.severity().level()), incident.opened_ns));
        let mut sent = Vec::new();
        for incident in due {
            if incident.notified.is_some_and(|(at_ns, _)| within(at_ns, now_ns)) {
                continue;
            }
            match self.limiter.send(now_ns) {
                Some(rolled_up) => {
                    incident.notified = Some((now_ns, incident.alert.severity().level()));
                    sent.push(Notification { alert: incident.alert.clone(), rolled_up });
                }
                None if incident.rolled_up => {}
                None => {
                    incident.rolled_up = true;
                    self.limiter.roll_up();
                }
            }
        }
        sent
    }
}

/// The incident of an entry that fires at `Warn` or above and has not been notified of at this level or a higher one.
fn unnotified(entry: &mut Entry) -> Option<&mut Incident> {
    let level = entry.severity()?.level();
    let incident = entry.incident.as_deref_mut()?;
    let notified = incident.notified.map(|(_, level)| level);
    (level >= Level::Warn && notified.is_none_or(|notified| notified < level)).then_some(incident)
}
