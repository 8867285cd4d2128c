//! Lists and then watches one kind of object, as long as weir runs.
//!
//! Not kube's own watcher: that keeps the whole metadata of each object, holds the text of a page twice, and does not report
//! errors while it retries.

use std::{
    convert::Infallible,
    hash::{BuildHasher as _, RandomState},
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{AsyncBufReadExt as _, TryStreamExt as _};
use kube::{
    Client, Error,
    core::{
        Request, Status, WatchEvent,
        params::{ListParams, WatchParams},
    },
};
use tokio::time::{sleep, timeout, timeout_at};

use super::{
    access::Access,
    object::Page,
    shared::{Shared, now_ns},
    watched::WatchedObject,
};

/// Objects in a page. A pod is some 8 KiB of JSON: a page of 200 takes 1.6 MiB for a moment. All at once, as a watch cache
/// returns them without paging, would be 40 MiB for 5,000 pods.
const PAGE: u32 = 200;
/// A page of the largest objects that etcd stores (1.5 MiB each) would be larger; that does not happen in practice.
const LARGEST_PAGE: usize = 64 << 20;
const PAGE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the server is asked to keep a watch open, at least; up to 60 s are added at random, so that agents do not
/// reconnect at once.
const WATCH_S: u32 = 240;
/// A watch that is still open this long after that has lost its server unnoticed.
const WATCH_GRACE: Duration = Duration::from_secs(15);
/// A watch that ends sooner counts as failed.
const SHORT: Duration = Duration::from_secs(1);
/// A watch that lasted this long has worked: the next failure starts a new series.
const LONG: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// After this many failures the version is given up and a list is made, whatever the reason.
const TRIES: u32 = 8;

/// A resource of the API.
pub(super) struct Resource {
    /// Its name in the API's messages.
    pub(super) name: &'static str,
    /// Paths, the newest version first; a server that does not have it is asked for the next.
    pub(super) paths: &'static [&'static str],
    pub(super) labels: Option<&'static str>,
}

/// State kept from one attempt to the next.
struct Progress {
    /// Which of the resource's paths the server has.
    path: usize,
    /// The resource version up to which all is known; `None` if a list must come first.
    version: Option<String>,
    last_update_ns: u64,
    /// Failures since the last watch that worked.
    failures: u32,
}

/// Why no updates arrive.
#[derive(Debug)]
enum Failure {
    /// No answer, or no connection.
    Unreachable(String),
    /// An error of the API.
    Refused(Box<Status>),
    /// The answer could not be decoded.
    Unreadable(String),
}

/// Keeps the table's objects of this kind up to date. Never ends.
pub(super) async fn keep<T: WatchedObject>(access: &Access, shared: &Shared, resource: &Resource) -> Infallible {
    let mut progress = Progress { path: 0, version: None, last_update_ns: now_ns(), failures: 0 };
    loop {
        let Err(failure) = attempt::<T>(access, shared, resource, &mut progress).await;
        progress.failures += 1;
        if failure.needs_list() || progress.failures.is_multiple_of(TRIES) {
            progress.version = None;
        }
        // A version that is too old is no failure, but Kubernetes' way to request a list.
        if !failure.is_gone() {
            shared.fails(T::KIND, failure.message(resource), progress.last_update_ns);
        }
        sleep(pause(progress.failures)).await;
    }
}

/// Lists if necessary, and watches until a failure.
async fn attempt<T: WatchedObject>(
    access: &Access,
    shared: &Shared,
    resource: &Resource,
    progress: &mut Progress,
) -> Result<Infallible, Failure> {
    let (client, url) = access.client().await.map_err(|error| Failure::Unreachable(format!("{error:#}")))?;
    loop {
        let version = match &progress.version {
            Some(version) => version.clone(),
            None => {
                let version = list::<T>(&client, shared, resource, progress).await.map_err(|error| error.at(&url))?;
                progress.version.insert(version).clone()
            }
        };
        let began = Instant::now();
        let outcome = watch::<T>(&client, shared, resource, progress, version).await;
        if began.elapsed() >= LONG {
            progress.failures = 0;
        }
        let outcome = outcome.and_then(|()| if began.elapsed() < SHORT { Err(ended_at_once()) } else { Ok(()) });
        outcome.map_err(|error| error.at(&url))?;
    }
}

/// A connection that was cut looks like a watch that has ended. The version is still valid.
fn ended_at_once() -> Failure {
    Failure::Unreachable("the watch ended as soon as it began".into())
}

/// Enters all objects, and returns the resource version of the list.
async fn list<T: WatchedObject>(
    client: &Client,
    shared: &Shared,
    resource: &Resource,
    progress: &mut Progress,
) -> Result<String, Failure> {
    let mut params = ListParams { label_selector: resource.labels.map(Into::into), ..ListParams::default() };
    params.limit = Some(PAGE);
    shared.list_begins(T::KIND);
    loop {
        let page = match page::<T>(client, resource.paths[progress.path], &params).await {
            Err(failure) if failure.is_unknown() && progress.path + 1 < resource.paths.len() => {
                progress.path += 1;
                continue;
            }
            page => page?,
        };
        for object in &page.items {
            shared.enter(object);
        }
        if page.metadata.r#continue.is_empty() {
            shared.list_ends(T::KIND, progress.last_update_ns);
            progress.last_update_ns = now_ns();
            return Ok(page.metadata.resource_version);
        }
        params.continue_token = Some(page.metadata.r#continue);
    }
}

async fn page<T: WatchedObject>(client: &Client, path: &str, params: &ListParams) -> Result<Page<T>, Failure> {
    let request = Request::new(path).list(params).map_err(Error::BuildRequest)?;
    let read = async {
        let mut body = pin!(client.request_stream(request).await?);
        let mut text = Vec::new();
        while text.len() < LARGEST_PAGE {
            let part = body.fill_buf().await.map_err(Error::ReadEvents)?;
            if part.is_empty() {
                break;
            }
            text.extend_from_slice(part);
            let read = part.len();
            body.consume_unpin(read);
        }
        Ok::<_, Error>(text)
    };
    let text = timeout(PAGE_TIMEOUT, read).await.map_err(|_| Failure::Unreachable("no answer in 60 s".into()))??;
    serde_json::from_slice(&text).map_err(|error| Failure::Unreadable(error.to_string()))
}

/// Follows changes after `version`, until the server ends the watch at the requested time.
async fn watch<T: WatchedObject>(
    client: &Client,
    shared: &Shared,
    resource: &Resource,
    progress: &mut Progress,
    version: String,
) -> Result<(), Failure> {
    let seconds = WATCH_S + random_below(60);
    let params = WatchParams { label_selector: resource.labels.map(Into::into), ..WatchParams::default() };
    let params = params.timeout(seconds);
    let request = Request::new(resource.paths[progress.path]).watch(&params, &version).map_err(Error::BuildRequest)?;
    let silent = || Failure::Unreachable("the watch does not answer any more".into());
    let deadline = tokio::time::Instant::now() + Duration::from_secs(seconds.into()) + WATCH_GRACE;
    let events = timeout(PAGE_TIMEOUT, client.request_events::<T>(request)).await.map_err(|_| silent())??;
    // Changes since `version` that were missed arrive first, at once.
    shared.works(T::KIND);
    let mut events = pin!(events);
    while let Some(event) = timeout_at(deadline, events.try_next()).await.map_err(|_| silent())?? {
        let version = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                shared.enter(&object);
                object.meta().resource_version.clone()
            }
            WatchEvent::Deleted(object) => {
                shared.remove(&object);
                object.meta().resource_version.clone()
            }
            WatchEvent::Bookmark(bookmark) => bookmark.metadata.resource_version,
            WatchEvent::Error(status) => return Err(Failure::Refused(status)),
        };
        progress.version = Some(version);
        progress.last_update_ns = now_ns();
    }
    Ok(())
}

/// Doubles with each failure, with a random part so that agents do not retry at once.
fn pause(failures: u32) -> Duration {
    let full = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST_PAUSE);
    full / 2 + full.mul_f64(f64::from(random_below(1000)) / 2000.0)
}

/// A random number below `bound`, from the random keys of hash maps.
fn random_below(bound: u32) -> u32 {
    (RandomState::new().hash_one(bound) % u64::from(bound)) as u32
}

// === impl Failure ===

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(status) => Self::Refused(status),
            Error::SerdeError(error) => Self::Unreadable(error.to_string()),
            error => {
                // The outer errors are what was attempted; the innermost is what happened.
                let mut cause: &dyn std::error::Error = &error;
                while let Some(deeper) = cause.source() {
                    cause = deeper;
                }
                Self::Unreachable(cause.to_string())
            }
        }
    }
}

impl Failure {
    fn at(self, url: &str) -> Self {
        match self {
            Self::Unreachable(cause) => Self::Unreachable(format!("{url}: {cause}")),
            other => other,
        }
    }

    /// The version is too old.
    fn is_gone(&self) -> bool {
        matches!(self, Self::Refused(status) if status.code == 410)
    }

    /// The server does not have this path.
    fn is_unknown(&self) -> bool {
        matches!(self, Self::Refused(status) if status.code == 404)
    }

    /// Continuing from the version would fail again: it is too old, from before a restored backup, or garbage.
    fn needs_list(&self) -> bool {
        match self {
            Self::Unreachable(_) => false,
            Self::Refused(status) => matches!(status.code, 400 | 404 | 410 | 422 | 504),
            Self::Unreadable(_) => true,
        }
    }

    fn message(&self, resource: &Resource) -> Arc<str> {
        let name = resource.name;
        match self {
            Self::Unreachable(cause) => format!("Kubernetes API unreachable: {cause}").into(),
            Self::Refused(status) if status.message.is_empty() => {
                format!("Kubernetes API refuses {name}: status {} {}", status.code, status.reason).into()
            }
            Self::Refused(status) => format!("Kubernetes API refuses {name}: {}", status.message).into(),
            Self::Unreadable(cause) => format!("Kubernetes API sent {name} that cannot be decoded: {cause}").into(),
        }
    }
}
