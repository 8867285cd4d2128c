//! From verdicts on windows to incidents: alarms, severity, causes, notifications.

pub(crate) mod alarm;
pub(crate) mod changes;
pub(crate) mod decisions;
pub(crate) mod incidents;
pub(crate) mod journal;
pub(crate) mod notify;
pub(crate) mod severity;
