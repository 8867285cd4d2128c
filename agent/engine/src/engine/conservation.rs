//! Whatever is retired, renamed or shared, and wherever windows end: each connection is counted once.

use std::collections::BTreeMap;

use proptest::prelude::*;
use weir_abi::{ConnectOutcome, EdgeKey, EdgeRecord, FIRST_SLOT, ROLE_CLIENT, ROLE_SERVER, SLOT_LIVE};

use crate::{Edge, Engine, Identity, Input, Kind, Named, NamedEnd, Schedule, Started, View, WindowId};

const S: u64 = 1_000_000_000;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// So many connections of a client process to an address that this server process serves.
    Connect { client: u32, address: u8, server: u32, n: u64 },
    /// A server's edges are retired: its process has ended.
    EndServer { server: u32 },
    /// A client's edges are retired, those of its servers too, before or after.
    EndClient { client: u32, servers_first: bool },
    /// A process has another name from now on.
    Rename { process: u32, name: u8 },
    /// A window ends.
    Close,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (1u32..4, 1u8..3, 11u32..15, 1u64..5)
            .prop_map(|(client, address, server, n)| Step::Connect { client, address, server, n }),
        2 => (11u32..15).prop_map(|server| Step::EndServer { server }),
        2 => (1u32..4, any::<bool>()).prop_map(|(client, servers_first)| Step::EndClient { client, servers_first }),
        1 => (prop_oneof![1u32..4, 11u32..15], 0u8..3).prop_map(|(process, name)| Step::Rename { process, name }),
        1 => Just(Step::Close),
    ]
}

/// What the kernel half and the reader would do.
struct World {
    engine: Engine,
    now: u64,
    next_slot: u32,
    live: BTreeMap<EdgeKey, (u32, EdgeRecord)>,
    made: u64,
    counted: u64,
    by_service: bool,
}

impl World {
    fn new(by_service: bool) -> Self {
        // The first window is closed now and then, the second never.
        let mut engine = Engine::new([Schedule::Whole; 2]);
        engine.take(Input::Started(Started::default()));
        Self { engine, now: S, next_slot: FIRST_SLOT, live: BTreeMap::new(), made: 0, counted: 0, by_service }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Connect { client, address, server, n } => {
                self.made += n;
                let dialled = EdgeKey { address: [address; 16], netns: 1, port: 80, ..EdgeKey::default() };
                self.count(EdgeKey { tgid: client, role: ROLE_CLIENT, ..dialled }, n);
                let served = EdgeKey { tgid: server, peer_tgid: client, role: ROLE_SERVER, listen_port: 80, ..dialled };
                self.count(served, n);
            }
            Step::EndServer { server } => self.retire(|key| key.tgid == server),
            Step::EndClient { client, servers_first } => {
                self.retire(|key| key.peer_tgid == client && servers_first);
                self.retire(|key| key.tgid == client);
                self.retire(|key| key.peer_tgid == client);
            }
            Step::Rename { process, name } => self.rename(process, name),
            Step::Close => self.close(),
        }
        self.now += S;
        self.engine.take(Input::Tick { monotonic_ns: self.now, unix_ns: self.now });
    }

    fn count(&mut self, key: EdgeKey, n: u64) {
        let next = &mut self.next_slot;
        let (slot, record) = self.live.entry(key).or_insert_with(|| {
            *next += 1;
            (*next, EdgeRecord { key, state: SLOT_LIVE, peer_netns: 1, ..EdgeRecord::EMPTY })
        });
        record.connects[ConnectOutcome::Ok as usize] += n;
        record.opened += n;
        record.closed += n;
        record.comm[0] = b'a' + key.tgid as u8 % 3;
        self.engine.take(Input::Edge { slot: *slot, record });
    }

    fn retire(&mut self, ended: impl Fn(&EdgeKey) -> bool) {
        let slots: Vec<_> =
            self.live.iter().filter(|(key, _)| ended(key)).map(|(key, (slot, _))| (*key, *slot)).collect();
        for (key, slot) in slots {
            self.engine.take(Input::Retired { slot });
            self.live.remove(&key);
        }
    }

    fn rename(&mut self, process: u32, name: u8) {
        let identity = std::sync::Arc::new(Identity::new(Kind::Container, format!("c{name}")));
        for (slot, _) in self.live.iter().filter(|(key, _)| key.tgid == process).map(|(_, live)| live) {
            let identity = Ok(std::sync::Arc::clone(&identity));
            self.engine.take(Input::Named(Named { slot: *slot, end: NamedEnd::Own, since_ns: self.now, identity }));
        }
    }

    fn close(&mut self) {
        self.counted += self.counted_in(WindowId::FIRST);
        self.engine.close_window(WindowId::FIRST);
    }

    fn counted_in(&self, window: WindowId) -> u64 {
        let snapshot = self.engine.snapshot(window);
        let snapshot = if self.by_service { snapshot.by_service(|_| true) } else { snapshot };
        snapshot.edges.iter().map(connects).sum()
    }
}

/// Connections of an edge, from the view that has them.
fn connects(edge: &Edge) -> u64 {
    let of = |view: &View| view.connects.ok();
    match (&edge.client_view, &edge.server_view) {
        (Ok(client), _) => of(client) + edge.unpaired_view.as_ref().map_or(0, of),
        (Err(_), Ok(server)) => of(server),
        (Err(_), Err(_)) => 0,
    }
}

proptest! {
    #[test]
    fn each_connection_is_counted_once(steps in prop::collection::vec(step(), 1..60), by_service: bool) {
        let mut world = World::new(by_service);
        for step in steps {
            world.take(step);
        }
        world.close();
        prop_assert_eq!(world.counted, world.made, "in windows that follow each other");
        prop_assert_eq!(world.counted_in(WindowId::nth(1)), world.made, "in one that goes on beside them");
    }
}
