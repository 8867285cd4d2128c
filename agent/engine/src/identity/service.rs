//! A service: what several instances are together.

use std::{fmt, sync::Arc};

use super::{Identity, Kind};

/// One end of an edge by service: the instances of a service are one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Service {
    /// What the name stands for.
    pub kind: Kind,
    /// The Kubernetes namespace, or the declared `service.namespace`.
    pub namespace: Option<Arc<str>>,
    /// What an engineer calls it.
    pub name: Arc<str>,
}

impl Service {
    /// The service that an identity is of.
    pub fn of(identity: &Identity) -> Self {
        let Identity { kind, namespace, name, .. } = identity;
        Self { kind: *kind, namespace: namespace.clone(), name: Arc::clone(name) }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(namespace) = &self.namespace {
            write!(f, "{}/", Short(namespace))?;
        }
        write!(f, "{}", Short(if self.name.is_empty() { "unnamed" } else { &self.name }))
    }
}

/// A name as far as it fits a line, and without what would move a terminal's cursor.
pub struct Short<'a>(pub &'a str);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write as _;
        /// Characters of a name that are shown: an alert has several names, and 900 characters.
        const MAX: usize = 30;
        let mut chars = self.0.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
        chars.by_ref().take(MAX).try_for_each(|c| f.write_char(c))?;
        if chars.next().is_some() { f.write_char('…') } else { Ok(()) }
    }
}
