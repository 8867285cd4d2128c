//! How it stands with the API: connected, or what keeps us from it.

use std::{fmt, sync::Arc};

use super::entered::What;

/// How it stands with the Kubernetes API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// Nobody asked for it, and nothing here is part of a cluster.
    Off,
    /// The first lists are on their way.
    Starting,
    /// All that is watched is known.
    Connected {
        /// Since when, unix time.
        since_unix_ns: u64,
    },
    /// Names come from what was known before, if anything was.
    Failing {
        /// In full.
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

/// How each watch stands.
#[derive(Debug)]
pub(super) struct Watches([Watch; 4]);

#[derive(Clone, Debug, Default)]
struct Watch {
    listed: bool,
    /// When it was listed, or has been failing since.
    since_ns: u64,
    failure: Option<Arc<str>>,
}

impl Watches {
    pub(super) fn new() -> Self {
        Self(Default::default())
    }

    pub(super) fn works(&mut self, what: What, now_ns: u64) {
        let watch = &mut self.0[what as usize];
        let failed = watch.failure.take().is_some();
        if failed || !watch.listed {
            watch.since_ns = now_ns;
        }
        watch.listed = true;
    }

    /// A failure is as old as the first of its row.
    pub(super) fn fails(&mut self, what: What, cause: Arc<str>, now_ns: u64) {
        let watch = &mut self.0[what as usize];
        if watch.failure.replace(cause).is_none() {
            watch.since_ns = now_ns;
        }
    }

    /// The whole of it: the failure that is oldest, else whether all is there.
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

    const ALL: [What; 4] = [What::Node, What::Pod, What::Service, What::EndpointSlice];

    #[test]
    fn it_is_connected_when_all_is_listed() {
        let mut watches = Watches::new();
        assert_eq!(watches.status(), Status::Starting);
        watches.fails(What::Pod, "not there yet".into(), 0);
        watches.works(What::Pod, 0);
        for (at, what) in ALL.into_iter().enumerate() {
            assert_eq!(watches.status(), Status::Starting, "{at}");
            watches.works(what, at as u64 + 1);
        }
        assert_eq!(watches.status(), Status::Connected { since_unix_ns: 4 });
        watches.works(What::Pod, 9);
        assert_eq!(watches.status(), Status::Connected { since_unix_ns: 4 });
    }

    #[test]
    fn one_failure_is_the_whole_of_it_since_its_first() {
        let mut watches = Watches::new();
        ALL.into_iter().for_each(|what| watches.works(what, 1));
        watches.fails(What::Pod, "refused".into(), 5);
        watches.fails(What::Node, "other".into(), 6);
        watches.fails(What::Pod, "timed out".into(), 7);
        assert_eq!(watches.status(), Status::Failing { cause: "timed out".into(), since_unix_ns: 5 });
        watches.works(What::Pod, 8);
        watches.works(What::Node, 8);
        assert_eq!(watches.status(), Status::Connected { since_unix_ns: 8 });
    }
}
