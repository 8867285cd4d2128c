//! State of the connection to the API: connected, or the reason why not.

use std::{fmt, sync::Arc};

use super::watched::ObjectKind;

/// State of the connection to the Kubernetes API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// No cluster is configured, and none was found.
    Off,
    /// The first lists are being fetched.
    Starting,
    /// All watched objects are known.
    Connected {
        /// Since when, unix time.
        since_unix_ns: u64,
    },
    /// Updates are not arriving. Names come from what was known before.
    Failing {
        /// The reason, as a full sentence.
        cause: Arc<str>,
        /// Since when, unix time.
        since_unix_ns: u64,
    },
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Off => f.write_str("not configured"),
            Self::Starting => f.write_str("waiting for the Kubernetes API"),
            Self::Connected { .. } => f.write_str("connected"),
            Self::Failing { cause, .. } => f.write_str(cause),
        }
    }
}

/// State of each watch.
#[derive(Debug)]
pub(super) struct Watches([Watch; 4]);

#[derive(Clone, Debug, Default)]
struct Watch {
    listed: bool,
    /// When its list was complete, or since when it has been failing.
    since_ns: u64,
    failure: Option<Arc<str>>,
}

impl Watches {
    pub(super) fn new() -> Self {
        Self(Default::default())
    }

    pub(super) fn works(&mut self, kind: ObjectKind, now_ns: u64) {
        let watch = &mut self.0[kind as usize];
        let failed = watch.failure.take().is_some();
        if failed || !watch.listed {
            watch.since_ns = now_ns;
        }
        watch.listed = true;
    }

    /// A failure is as old as the first of an uninterrupted series.
    pub(super) fn fails(&mut self, kind: ObjectKind, cause: Arc<str>, now_ns: u64) {
        let watch = &mut self.0[kind as usize];
        if watch.failure.replace(cause).is_none() {
            watch.since_ns = now_ns;
        }
    }

    /// Combined: the oldest failure, else whether all lists are complete.
    pub(super) fn status(&self) -> Status {
        let failing = self.0.iter().filter_map(|watch| Some((watch.failure.clone()?, watch.since_ns)));
        if let Some((cause, since_unix_ns)) = failing.min_by_key(|(_, since)| *since) {
            return Status::Failing { cause, since_unix_ns };
        }
        if self.0.iter().all(|watch| watch.listed) {
            let since_unix_ns = self.0.iter().map(|watch| watch.since_ns).max().unwrap_or(0);
            return Status::Connected { since_unix_ns };
        }
        Status::Starting
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [ObjectKind; 4] = [ObjectKind::Node, ObjectKind::Pod, ObjectKind::Service, ObjectKind::EndpointSlice];

    #[test]
    fn it_is_connected_when_all_is_listed() {
        let mut watches = Watches::new();
        assert_eq!(watches.status(), Status::Starting);
        watches.fails(ObjectKind::Pod, "not there yet".into(), 0);
        watches.works(ObjectKind::Pod, 0);
        for (at, kind) in ALL.into_iter().enumerate() {
            assert_eq!(watches.status(), Status::Starting, "{at}");
            watches.works(kind, at as u64 + 1);
        }
        assert_eq!(watches.status(), Status::Connected { since_unix_ns: 4 });
        watches.works(ObjectKind::Pod, 9);
        assert_eq!(watches.status(), Status::Connected { since_unix_ns: 4 });
    }

    #[test]
    fn one_failure_is_the_whole_of_it_since_its_first() {
        let mut watches = Watches::new();
        ALL.into_iter().for_each(|kind| watches.works(kind, 1));
        watches.fails(ObjectKind::Pod, "refused".into(), 5);
        watches.fails(ObjectKind::Node, "other".into(), 6);
        watches.fails(ObjectKind::Pod, "timed out".into(), 7);
        assert_eq!(watches.status(), Status::Failing { cause: "timed out".into(), since_unix_ns: 5 });
        watches.works(ObjectKind::Pod, 8);
        watches.works(ObjectKind::Node, 8);
        assert_eq!(watches.status(), Status::Connected { since_unix_ns: 8 });
    }
}
