//! Which cluster to watch, and how much of it to keep.

use std::path::PathBuf;

/// Which cluster, if any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// The cluster that `KUBECONFIG` names, else the one whose pod this is, else none.
    #[default]
    Auto,
    /// None.
    Off,
    /// The cluster in this file.
    Kubeconfig(PathBuf),
}

/// The user's choice.
#[derive(Clone, Debug)]
pub struct Config {
    /// Which cluster, if any.
    pub mode: Mode,
    /// This machine's name in the cluster. Nodes are also known by the kernel's boot id, so that it is rarely needed.
    pub node_name: Option<String>,
    /// Objects kept; those beyond are counted. 50,000 take some 30 MiB.
    pub max_objects: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { mode: Mode::Auto, node_name: None, max_objects: 50_000 }
    }
}
