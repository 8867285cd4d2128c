//! State shared by the watching thread and the threads that look names up. Each holds a lock for one object or one lookup:
//! microseconds.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::sync::Notify;

use super::{
    status::{Status, Watches},
    table::Table,
    watched::{ObjectKind, WatchedObject},
};

pub(super) struct Shared {
    table: RwLock<Table>,
    watches: Mutex<Watches>,
    generation: AtomicU64,
    /// Notified once the nodes are known, which show which pods are this machine's.
    pub(super) nodes_listed: Notify,
}

impl Shared {
    pub(super) fn new(table: Table) -> Self {
        Self {
            table: RwLock::new(table),
            watches: Mutex::new(Watches::new()),
            generation: AtomicU64::new(0),
            nodes_listed: Notify::new(),
        }
    }

    pub(super) fn table(&self) -> RwLockReadGuard<'_, Table> {
        self.table.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn status(&self) -> Status {
        self.watches().status()
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    pub(super) fn list_begins(&self, kind: ObjectKind) {
        self.table_mut().list_begins(kind);
    }

    pub(super) fn list_ends(&self, kind: ObjectKind, last_update_ns: u64) {
        self.table_mut().list_ends(kind, last_update_ns, now_ns());
        self.changed();
        if kind == ObjectKind::Node {
            self.nodes_listed.notify_one();
        }
    }

    pub(super) fn enter<T: WatchedObject>(&self, object: &T) {
        if self.table_mut().enter(object, now_ns()) {
            self.changed();
        }
    }

    pub(super) fn remove<T: WatchedObject>(&self, object: &T) {
        self.table_mut().remove(object, now_ns());
        self.changed();
    }

    pub(super) fn forget(&self) {
        self.table_mut().forget(now_ns());
    }

    /// The watch receives updates.
    pub(super) fn works(&self, kind: ObjectKind) {
        self.watches().works(kind, now_ns());
        if kind == ObjectKind::Pod {
            self.table_mut().set_watch_stale_since(None);
        }
    }

    /// The watch has not received updates since `last_update_ns`.
    pub(super) fn fails(&self, kind: ObjectKind, cause: Arc<str>, last_update_ns: u64) {
        self.watches().fails(kind, cause, now_ns());
        if kind == ObjectKind::Pod {
            self.table_mut().set_watch_stale_since(Some(last_update_ns));
        }
    }

    fn table_mut(&self) -> RwLockWriteGuard<'_, Table> {
        self.table.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn watches(&self) -> MutexGuard<'_, Watches> {
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn changed(&self) {
        self.generation.fetch_add(1, Ordering::Release);
    }
}

/// Unix time, like the times in objects.
pub(super) fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
