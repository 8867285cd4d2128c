//! Severity, and the two keys without which an incident is not a page.

/// Severity without its proof, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// Shown, not notified of.
    Info,
    /// A ticket.
    Warn,
    /// A page.
    Critical,
}

impl Level {
    /// Its name in documents.
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Critical => "critical",
        }
    }
}

/// The first key: what is full or fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Resource {
    /// Work waits in a queue.
    Queue,
    /// All connections of a pool are in use.
    Pool,
    /// A limit of the kernel, a cgroup or a server is reached.
    Limit,
    /// Operations fail.
    Errors,
}

impl Resource {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Queue => "queue",
            Self::Pool => "pool",
            Self::Limit => "limit",
            Self::Errors => "errors",
        }
    }
}

/// The second key: how callers are affected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Callers wait longer than normal.
    LatencyUp,
    /// Callers give up.
    Abandoned,
    /// Callers are refused.
    Refused,
    /// Fewer calls succeed than normal.
    GoodputDown,
}

impl Effect {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::LatencyUp => "latency up",
            Self::Abandoned => "abandoned",
            Self::Refused => "refused",
            Self::GoodputDown => "goodput down",
        }
    }
}

/// Both keys: the proof that a page needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TwoKeys {
    /// What is full, or fails.
    pub resource: Resource,
    /// How callers are affected.
    pub effect: Effect,
}

/// Severity of an incident. `Critical` holds its proof and cannot be made without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Severity {
    /// Shown, not notified of.
    Info,
    /// A ticket.
    Warn,
    /// A page.
    Critical(TwoKeys),
}

impl Severity {
    /// The level wanted; `Critical` without both keys is `Warn`.
    pub fn of(wanted: Level, resource: Option<Resource>, effect: Option<Effect>) -> Self {
        match (wanted, resource, effect) {
            (Level::Critical, Some(resource), Some(effect)) => Self::Critical(TwoKeys { resource, effect }),
            (Level::Critical | Level::Warn, ..) => Self::Warn,
            (Level::Info, ..) => Self::Info,
        }
    }

    /// Without the proof.
    pub fn level(self) -> Level {
        match self {
            Self::Info => Level::Info,
            Self::Warn => Level::Warn,
            Self::Critical(_) => Level::Critical,
        }
    }

    /// The proof of a page.
    pub fn keys(self) -> Option<TwoKeys> {
        match self {
            Self::Critical(keys) => Some(keys),
            Self::Info | Self::Warn => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_key_does_not_page() {
        let (resource, effect) = (Some(Resource::Errors), Some(Effect::Refused));
        assert_eq!(Severity::of(Level::Critical, resource, None), Severity::Warn);
        assert_eq!(Severity::of(Level::Critical, None, effect), Severity::Warn);
        assert_eq!(Severity::of(Level::Critical, resource, effect).level(), Level::Critical);
        assert_eq!(Severity::of(Level::Warn, resource, effect), Severity::Warn, "keys alone raise no level");
        assert_eq!(Severity::of(Level::Info, resource, effect), Severity::Info);
    }
}
