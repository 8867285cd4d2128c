//! The parts of the runtimes' files that name a container. Every field is optional: one of an unexpected type makes the file
//! malformed, a missing one only leaves its name unknown.

use std::{collections::HashMap, sync::Arc};

use serde::Deserialize;

use crate::local::text::clean;

/// A container's names in its runtime's files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ContainerNames {
    /// None for a sandbox: the container that only holds a pod's namespaces.
    pub(crate) name: Option<Arc<str>>,
    /// As requested, not as resolved.
    pub(crate) image: Option<Arc<str>>,
    /// The pod, if Kubernetes requested the container.
    pub(crate) pod: Option<Arc<str>>,
    /// The pod's namespace.
    pub(crate) namespace: Option<Arc<str>>,
    /// The pod's uid.
    pub(crate) pod_uid: Option<Arc<str>>,
}

impl ContainerNames {
    pub(super) fn called(name: &str) -> Self {
        Self { name: Some(clean(name).into()), ..Self::default() }
    }
}

/// Docker's `config.v2.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DockerConfig {
    name: Option<String>,
    config: Option<DockerInner>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct DockerInner {
    image: Option<String>,
    labels: Option<HashMap<String, String>>,
}

impl DockerConfig {
    pub(super) fn names(self) -> ContainerNames {
        let (image, labels) = self.config.map_or((None, None), |inner| (inner.image, inner.labels));
        let labels = Labels(labels.unwrap_or_default());
        // Docker writes the name with a slash. Older kubelets name containers `k8s_<container>_<pod>_…`; their label has the
        // plain name.
        let own = self.name.as_deref().map(|name| name.trim_start_matches('/')).filter(|name| !name.is_empty());
        ContainerNames {
            name: labels.first(&["io.kubernetes.container.name"]).or_else(|| own.map(|own| clean(own).into())),
            image: image.filter(|image| !image.is_empty()).map(|image| clean(&image).into()),
            pod: labels.first(&["io.kubernetes.pod.name"]),
            namespace: labels.first(&["io.kubernetes.pod.namespace"]),
            pod_uid: labels.first(&["io.kubernetes.pod.uid"]),
        }
    }
}

/// A bundle's `config.json`: what runtimes add to the standard's fields is in its annotations.
#[derive(Deserialize)]
pub(super) struct OciConfig {
    annotations: Option<HashMap<String, String>>,
}

impl OciConfig {
    /// As containerd's CRI plugin, CRI-O and nerdctl write them.
    pub(super) fn names(self) -> ContainerNames {
        let notes = Labels(self.annotations.unwrap_or_default());
        let kind = notes.first(&["io.kubernetes.cri.container-type", "io.kubernetes.cri-o.ContainerType"]);
        let holds_pod = kind.as_deref() == Some("sandbox");
        let name = ["io.kubernetes.cri.container-name", "io.kubernetes.container.name", "nerdctl/name"];
        let image = [
            "io.kubernetes.cri.image-name",
            "io.kubernetes.cri-o.UserRequestedImage",
            "io.kubernetes.cri-o.ImageName",
            "io.kubernetes.cri-o.Image",
        ];
        ContainerNames {
            name: notes.first(&name).filter(|_| !holds_pod),
            image: notes.first(&image),
            pod: notes.first(&["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]),
            namespace: notes.first(&["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"]),
            pod_uid: notes.first(&["io.kubernetes.cri.sandbox-uid", "io.kubernetes.pod.uid"]),
        }
    }
}

/// An entry of containers-storage's `containers.json`.
#[derive(Deserialize)]
pub(super) struct StoredContainer {
    pub(super) id: String,
    names: Option<Vec<String>>,
    metadata: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct StoredMetadata {
    image_name: Option<String>,
    /// Written by podman; CRI-O writes `container-name` instead.
    name: Option<String>,
    container_name: Option<String>,
    pod_name: Option<String>,
}

impl StoredContainer {
    pub(super) fn names(self) -> ContainerNames {
        // The metadata is JSON in a string.
        let metadata = self.metadata.and_then(|text| serde_json::from_str::<StoredMetadata>(&text).ok());
        let first = self.names.and_then(|names| names.into_iter().next());
        let Some(metadata) = metadata else {
            return ContainerNames { name: first.map(|name| clean(&name).into()), ..ContainerNames::default() };
        };
        let text = |text: Option<String>| text.filter(|text| !text.is_empty()).map(|text| clean(&text).into());
        ContainerNames {
            name: text(metadata.container_name).or_else(|| text(first)).or_else(|| text(metadata.name)),
            image: text(metadata.image_name),
            pod: text(metadata.pod_name),
            ..ContainerNames::default()
        }
    }
}

/// runc's `state.json` and crun's `status`.
#[derive(Deserialize)]
pub(super) struct OciState {
    pub(super) id: Option<String>,
}

struct Labels(HashMap<String, String>);

impl Labels {
    /// The first of them that is present and not empty.
    fn first(&self, names: &[&str]) -> Option<Arc<str>> {
        let found = names.iter().filter_map(|name| self.0.get(*name)).find(|value| !value.is_empty());
        found.map(|value| clean(value).into())
    }
}
