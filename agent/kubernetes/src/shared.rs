//! What the watching thread and the asking ones share. Each holds a lock for one object or one question: microseconds.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicU64, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

use tokio::sync::Notify;

use super::{
    entered::{Entered, What},
    status::{Status, Watches},
    table::Table,
};

pub(super) struct Shared {
    table: RwLock<Table>,
    watches: Mutex<Watches>,
    generation: AtomicU64,
    /// Nodes tell which pods are this machine's.
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

    pub(super) fn list_begins(&self, what: What) {
        self.table_mut().list_begins(what);
    }

    pub(super) fn list_ends(&self, what: What, last_news_ns: u64) {
        self.table_mut().list_ends(what, last_news_ns, now_ns());
        self.changed();
        if what == What::Node {
            self.nodes_listed.notify_one();
        }
    }

    pub(super) fn enter<T: Entered>(&self, object: &T) {
        if self.table_mut().enter(object, now_ns()) {
            self.changed();
        }
    }

    pub(super) fn remove<T: Entered>(&self, object: &T) {
        self.table_mut().remove(object, now_ns());
        self.changed();
    }

    pub(super) fn forget(&self) {
        self.table_mut().forget(now_ns());
    }

    /// News come in.
    pub(super) fn works(&self, what: What) {
        self.watches().works(what, now_ns());
        if what == What::Pod {
            self.table_mut().deaf(None);
        }
    }

    /// None come in, since `last_news_ns`.
    pub(super) fn fails(&self, what: What, cause: Arc<str>, last_news_ns: u64) {
        self.watches().fails(what, cause, now_ns());
        if what == What::Pod {
            self.table_mut().deaf(Some(last_news_ns));
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

/// Unix time, as objects tell theirs.
pub(super) fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
