//! Which service answers at an address, remembered when it is gone.
//!
//! A server that stops is soon nameless: its records are retired, and what its clients dial is an address again. An
//! incident must not change its name for that, or it would be two.

use std::{collections::BTreeMap, net::IpAddr};

use weir_engine::{End, Kind, Service};

/// Dialled addresses whose names are remembered.
pub(crate) const MAX_CALLEES: usize = 8192;
/// A name not seen for so long is an older tenant's. A choice, as long as subjects are remembered.
const REMEMBERED_NS: u64 = 3_600_000_000_000;

/// Names of what is dialled, each with when it was last seen. The same address is another in another namespace, so that
/// the client is part of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Callees {
    names: BTreeMap<(Service, IpAddr, Option<u16>), (Service, u64)>,
    forgotten: u64,
}

impl Callees {
    /// The best name known of the end that this client dials.
    pub(crate) fn name(&mut self, client: &Service, server: &End, now_ns: u64) -> Service {
        let named = Service::of(&server.identity);
        let Some(address) = server.address else { return named };
        let key = (client.clone(), address, server.port);
        if named.kind == Kind::Address {
            return self.names.get(&key).map_or(named, |(known, _)| known.clone());
        }
        if self.names.len() >= MAX_CALLEES && !self.names.contains_key(&key) {
            self.forgotten += 1;
        } else {
            self.names.insert(key, (named.clone(), now_ns));
        }
        named
    }

    /// Time goes on.
    pub(crate) fn forget(&mut self, now_ns: u64) {
        self.names.retain(|_, (_, seen_ns)| now_ns.saturating_sub(*seen_ns) <= REMEMBERED_NS);
    }

    /// Names that were refused for want of space.
    pub(crate) fn forgotten(&self) -> u64 {
        self.forgotten
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use weir_engine::{Absent, Identity};

    fn end(kind: Kind, name: &str, last: u8) -> End {
        let address = Some(IpAddr::from([10, 0, 0, last]));
        End { address, port: Some(80), ..End::elsewhere(Arc::new(Identity::new(kind, name)), Absent::Ended) }
    }

    fn app() -> Service {
        Service::of(&Identity::new(Kind::Executable, "app"))
    }

    #[test]
    fn a_name_is_kept_when_only_the_address_is_left() {
        let mut callees = Callees::default();
        let mut name = |kind, name: &str, at_ns| callees.name(&app(), &end(kind, name, 2), at_ns).to_string();
        assert_eq!(name(Kind::Address, "10.0.0.2", 0), "10.0.0.2");
        assert_eq!(name(Kind::Executable, "redis", 1), "redis");
        assert_eq!(name(Kind::Address, "10.0.0.2", 2), "redis");
        assert_eq!(name(Kind::Executable, "valkey", 3), "valkey", "a new tenant");
        callees.forget(REMEMBERED_NS + 4);
        assert_eq!(callees.name(&app(), &end(Kind::Address, "10.0.0.2", 2), 5).to_string(), "10.0.0.2");
    }

    #[test]
    fn memory_is_bounded() {
        let mut callees = Callees::default();
        for i in 0..=MAX_CALLEES {
            let client = Service::of(&Identity::new(Kind::Executable, format!("job-{i}")));
            callees.name(&client, &end(Kind::Executable, "redis", 2), 0);
        }
        assert_eq!((callees.names.len(), callees.forgotten()), (MAX_CALLEES, 1));
    }
}
