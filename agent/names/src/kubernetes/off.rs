//! The same API without Kubernetes: nothing is watched, and a configured cluster is a failure with its reason.

use std::{net::IpAddr, path::PathBuf, sync::Arc};

use weir_engine::Identity;

const NOT_BUILT: &str = "this weir was built without Kubernetes: build it with the feature `kubernetes`";

/// Which cluster, if any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// None: the cluster is not searched for.
    #[default]
    Auto,
    /// None.
    Off,
    /// The cluster in this kubeconfig: a failure.
    Kubeconfig(PathBuf),
}

/// The user's choice.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Which cluster, if any.
    pub mode: Mode,
    /// This machine's name in the cluster.
    pub node_name: Option<String>,
}

/// Always zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Changes of objects beyond the limit.
    pub over_limit: u64,
    /// Objects that could not be decoded.
    pub unreadable: u64,
    /// Past holders of addresses that were forgotten early.
    pub forgotten_early: u64,
}

/// State of the connection to the Kubernetes API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Status {
    /// No cluster is configured.
    Off,
    /// The first lists are being fetched.
    Starting,
    /// All watched objects are known.
    Connected {
        /// Since when, unix time.
        since_unix_ns: u64,
    },
    /// A cluster is configured.
    Failing {
        /// Why it is not watched.
        cause: Arc<str>,
        /// Since when, unix time.
        since_unix_ns: u64,
    },
}

/// A watch over no cluster.
pub struct Kubernetes(Status);

impl Kubernetes {
    /// Watches nothing.
    pub fn start(config: &Config) -> Self {
        Self(match config.mode {
            Mode::Auto | Mode::Off => Status::Off,
            Mode::Kubeconfig(_) => Status::Failing { cause: NOT_BUILT.into(), since_unix_ns: 0 },
        })
    }

    /// Off, or failing where a cluster is configured.
    pub fn status(&self) -> Status {
        self.0.clone()
    }

    /// Never changes.
    pub fn generation(&self) -> u64 {
        0
    }

    /// No container is known.
    pub fn local(&self, _pod: Option<&str>, _container: Option<&str>) -> Option<Arc<Identity>> {
        None
    }

    /// No address is known.
    pub fn address(&self, _ip: IpAddr, _port: u16, _at_unix_ns: u64) -> Option<Arc<Identity>> {
        None
    }

    /// Always zero.
    pub fn counts(&self) -> Counts {
        Counts::default()
    }
}
