//! The address of the API, and the credentials for it.

use std::{
    env,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use kube::{
    Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
};

use super::config::Mode;

/// Where Kubernetes puts a pod's own credentials.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
/// For an address that does not answer; a refused connection fails at once. A choice.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How to find the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// By the pod's environment and service account.
    InCluster,
    /// By the files in the variable `KUBECONFIG`.
    KubeconfigVariable,
    /// By this file.
    Kubeconfig(PathBuf),
}

impl Access {
    /// `None`: off, or no cluster was found. The user's settings have precedence over the pod's.
    pub(super) fn find(mode: &Mode) -> Option<Self> {
        let set = |name: &str| env::var_os(name).is_some_and(|value| !value.is_empty());
        match mode {
            Mode::Off => None,
            Mode::Kubeconfig(path) => Some(Self::Kubeconfig(path.clone())),
            Mode::Auto if set("KUBECONFIG") => Some(Self::KubeconfigVariable),
            Mode::Auto => {
                (set("KUBERNETES_SERVICE_HOST") && Path::new(SERVICE_ACCOUNT).exists()).then_some(Self::InCluster)
            }
        }
    }

    /// A client and the API's address. All files are read again: they may have changed since a failure.
    pub(super) async fn client(&self) -> Result<(Client, String)> {
        let options = KubeConfigOptions::default();
        let mut config = match self {
            Self::InCluster => Config::incluster_env().context("cannot use the pod's service account")?,
            Self::KubeconfigVariable => {
                Config::from_kubeconfig(&options).await.context("cannot use the files in KUBECONFIG")?
            }
            Self::Kubeconfig(path) => {
                let kubeconfig =
                    Kubeconfig::read_from(path).with_context(|| format!("cannot read {}", path.display()))?;
                let config = Config::from_custom_kubeconfig(kubeconfig, &options).await;
                config.with_context(|| format!("cannot use {}", path.display()))?
            }
        };
        config.connect_timeout = Some(CONNECT_TIMEOUT);
        // The watch has pauses of its own, and reports the reason meanwhile.
        config.default_retry = false;
        let url = config.cluster_url.to_string();
        Ok((Client::try_from(config).context("cannot make a client")?, url))
    }
}
