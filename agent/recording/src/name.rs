//! Names in a recording: absent parts are left out.

use std::{borrow::Cow, sync::Arc};

use serde::{Deserialize, Serialize};
use weir_engine::{Identity, Kind, Named, NamedEnd};

/// The identity of an end of an edge.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Name<'a> {
    slot: u32,
    far: bool,
    since_ns: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    kind: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    namespace: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    workload: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pod: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    container: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    image: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unit: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    dns_name: Option<Cow<'a, str>>,
    /// Why there is no name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unknown: Option<Cow<'a, str>>,
}

impl<'a> From<&'a Named> for Name<'a> {
    fn from(named: &'a Named) -> Self {
        let Named { slot, end, since_ns, identity } = named;
        let known = identity.as_ref().ok();
        let text =
            |field: fn(&Identity) -> &Option<Arc<str>>| known.and_then(|i| field(i).as_deref()).map(Cow::Borrowed);
        Self {
            slot: *slot,
            far: *end == NamedEnd::Far,
            since_ns: *since_ns,
            kind: known.map(|i| i.kind.name().into()),
            namespace: text(|i| &i.namespace),
            name: known.map(|i| Cow::Borrowed(&*i.name)),
            workload: text(|i| &i.workload),
            pod: text(|i| &i.pod),
            container: text(|i| &i.container),
            image: text(|i| &i.image),
            unit: text(|i| &i.unit),
            dns_name: text(|i| &i.dns_name),
            unknown: identity.as_ref().err().map(|reason| Cow::Borrowed(&**reason)),
        }
    }
}

impl From<Name<'_>> for Named {
    fn from(line: Name<'_>) -> Self {
        let Name {
            slot,
            far,
            since_ns,
            kind,
            namespace,
            name,
            workload,
            pod,
            container,
            image,
            unit,
            dns_name,
            unknown,
        } = line;
        let end = if far { NamedEnd::Far } else { NamedEnd::Own };
        let text = |field: Option<Cow<'_, str>>| field.map(Arc::from);
        // A kind of a later weir is still a name: it is read as an executable.
        let kind = kind.map(|kind| Kind::named(&kind).unwrap_or(Kind::Executable));
        let identity = match (kind, name) {
            (Some(kind), Some(name)) => Ok(Arc::new(Identity {
                kind,
                namespace: text(namespace),
                name: name.into(),
                workload: text(workload),
                pod: text(pod),
                container: text(container),
                image: text(image),
                unit: text(unit),
                dns_name: text(dns_name),
            })),
            _ => Err(unknown.map_or_else(|| Arc::from("not recorded"), Arc::from)),
        };
        Self { slot, end, since_ns, identity }
    }
}
