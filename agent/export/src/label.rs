//! The name of an end in one word.

use weir_engine::{Identity, Kind};

/// Its name; in Kubernetes with the namespace.
pub(super) fn of(identity: &Identity) -> String {
    let Identity { kind, namespace, name, .. } = identity;
    match (kind, namespace) {
        (Kind::Other, _) => "(other)".to_owned(),
        (_, Some(namespace)) => format!("{namespace}/{name}"),
        (_, None) => name.to_string(),
    }
}
