//! Which service a process belongs to, by the edges of a window: what is polled knows processes by their ids alone.

use std::collections::BTreeMap;

use crate::report::contract::Place;
use weir_engine::{Identity, Kind, Owner, Process, Service, Snapshot};

/// Processes with edges, and the rounds they had: of several, the busiest speaks for all.
#[derive(Debug, Default)]
pub(crate) struct Owners<'a>(BTreeMap<u32, Owned<'a>>);

/// A process with edges, and the service that it belongs to.
#[derive(Debug)]
pub(crate) struct Owned<'a> {
    identity: &'a Identity,
    process: &'a Process,
    pub(crate) rounds: u64,
}

impl<'a> Owners<'a> {
    pub(crate) fn of(snapshot: &'a Snapshot) -> Self {
        let mut owners = Self::default();
        for edge in snapshot.edges.iter().filter(|edge| !edge.is_other) {
            if let Ok(process) = &edge.client.process {
                let rounds = edge.client_view.as_ref().map_or(0, |view| view.rounds);
                owners.add(process, &edge.client.identity, rounds);
            }
            if let Ok(process) = &edge.server.process {
                owners.add(process, &edge.server.identity, 0);
            }
            for share in &edge.server_processes {
                owners.add(&share.process, &edge.server.identity, share.rounds);
            }
        }
        owners
    }

    fn add(&mut self, process: &'a Process, identity: &'a Identity, rounds: u64) {
        let owned = self.0.entry(process.pid).or_insert(Owned { identity, process, rounds: 0 });
        owned.rounds = owned.rounds.saturating_add(rounds);
    }

    pub(crate) fn get(&self, pid: u32) -> Option<&Owned<'a>> {
        self.0.get(&pid)
    }

    /// The service that holds a socket: as its edges name it, or else by its program.
    pub(crate) fn service(&self, owner: &Owner) -> Service {
        self.get(owner.pid).map_or_else(
            || Service { kind: Kind::Executable, namespace: None, name: owner.comm.clone() },
            Owned::service,
        )
    }
}

impl Owned<'_> {
    pub(crate) fn service(&self) -> Service {
        Service::of(self.identity)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid
    }

    pub(crate) fn place(&self) -> Place {
        Place::of(self.process)
    }
}
