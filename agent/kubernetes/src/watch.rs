//! One kind of objects, listed and then watched, for as long as weir runs.
//!
//! Not kube's own watcher: that keeps each object's metadata whole, collects a page's text twice, and does not say what
//! went wrong while it tries again.

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
    entered::Entered,
    object::Page,
    shared::{Shared, now_ns},
};

/// Objects in a page. A pod is some 8 KiB of JSON: a page of 200 is 1.6 MiB for a moment. All at once, as a watch cache
/// would give them without pages, would be 40 MiB for 5,000 pods.
const PAGE: u32 = 200;
/// A page of the largest objects that etcd takes (1.5 MiB each) would be larger; then something is wrong.
const LARGEST_PAGE: usize = 64 << 20;
const PAGE_TIMEOUT: Duration = Duration::from_secs(60);
/// How long the server is asked to keep a watch open, at least: it ends them at different times for different clients.
const WATCH_S: u32 = 240;
/// A watch that is still open so long after that has lost its server without a word.
const WATCH_GRACE: Duration = Duration::from_secs(15);
/// A watch that ends sooner has not worked.
const SHORT: Duration = Duration::from_secs(1);
/// A watch that lasted so long has worked: the next failure is a new one.
const LONG: Duration = Duration::from_secs(10);
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A version that so many watches could not go on from is given up, whatever the reason.
const TRIES: u32 = 8;

/// What is asked of the API.
pub(super) struct Resource {
    /// As in the API's own messages.
    pub(super) name: &'static str,
    /// The newest first; a server that does not know it is asked for the next.
    pub(super) paths: &'static [&'static str],
    pub(super) labels: Option<&'static str>,
}

/// What is carried from one attempt to the next.
struct Progress {
    /// Which of the resource's paths the server knows.
    path: usize,
    /// Up to where we know everything; `None` when a list has to come first.
    version: Option<String>,
    last_news_ns: u64,
    /// Failures since the last watch that worked.
    failures: u32,
}

/// Why there is no news.
#[derive(Debug)]
enum Failure {
    /// Nobody answers, or not to us.
    Unreachable(String),
    /// The API says no.
    Refused(Box<Status>),
    /// The answer is none of Kubernetes'.
    Unreadable(String),
}

/// Keeps the table's `T`s up to date. Never ends.
pub(super) async fn keep<T: Entered>(access: &Access, shared: &Shared, resource: &Resource) -> Infallible {
    let mut progress = Progress { path: 0, version: None, last_news_ns: now_ns(), failures: 0 };
    loop {
        let Err(failure) = attempt::<T>(access, shared, resource, &mut progress).await;
        progress.failures += 1;
        if failure.needs_list() || progress.failures.is_multiple_of(TRIES) {
            progress.version = None;
        }
        // That a version is too old is Kubernetes' way to ask for a list.
        if !failure.is_gone() {
            shared.fails(T::WHAT, failure.told(resource), progress.last_news_ns);
        }
        sleep(pause(progress.failures)).await;
    }
}

/// Lists if need be, and watches until something fails.
async fn attempt<T: Entered>(
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

/// A connection that was cut looks like a watch that has ended. The version is still good.
fn ended_at_once() -> Failure {
    Failure::Unreachable("the watch ended as soon as it began".into())
}

/// Brings in all objects, and returns the version that they are of.
async fn list<T: Entered>(
    client: &Client,
    shared: &Shared,
    resource: &Resource,
    progress: &mut Progress,
) -> Result<String, Failure> {
    let mut params = ListParams { label_selector: resource.labels.map(Into::into), ..ListParams::default() };
    params.limit = Some(PAGE);
    shared.list_begins(T::WHAT);
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
            shared.list_ends(T::WHAT, progress.last_news_ns);
            progress.last_news_ns = now_ns();
            return Ok(page.metadata.resource_version);
        }
        params.continue_token = Some(page.metadata.r#continue);
    }
}

async fn page<T: Entered>(client: &Client, path: &str, params: &ListParams) -> Result<Page<T>, Failure> {
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

/// Follows what changes after `version`, until the server ends the watch as it was asked to.
async fn watch<T: Entered>(
    client: &Client,
    shared: &Shared,
    resource: &Resource,
    progress: &mut Progress,
    version: String,
) -> Result<(), Failure> {
    let seconds = WATCH_S + chance(60);
    let params = WatchParams { label_selector: resource.labels.map(Into::into), ..WatchParams::default() };
    let params = params.timeout(seconds);
    let request = Request::new(resource.paths[progress.path]).watch(&params, &version).map_err(Error::BuildRequest)?;
    let silent = || Failure::Unreachable("the watch has fallen silent".into());
    let deadline = tokio::time::Instant::now() + Duration::from_secs(seconds.into()) + WATCH_GRACE;
    let events = timeout(PAGE_TIMEOUT, client.request_events::<T>(request)).await.map_err(|_| silent())??;
    // What we missed since `version` comes first, and before anybody asks.
    shared.works(T::WHAT);
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
        progress.last_news_ns = now_ns();
    }
    Ok(())
}

/// Twice as long after each failure, and at different times for different agents.
fn pause(failures: u32) -> Duration {
    let full = FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LONGEST_PAUSE);
    full / 2 + full.mul_f64(f64::from(chance(1000)) / 2000.0)
}

/// Below `bound`, another each time: the keys of hash maps are.
fn chance(bound: u32) -> u32 {
    (RandomState::new().hash_one(bound) % u64::from(bound)) as u32
}

// === impl Failure ===

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Api(status) => Self::Refused(status),
            Error::SerdeError(error) => Self::Unreadable(error.to_string()),
            error => {
                // What it says first is what the program tried; the last is what happened.
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

    /// The server does not know this path.
    fn is_unknown(&self) -> bool {
        matches!(self, Self::Refused(status) if status.code == 404)
    }

    /// Going on from where we were would fail again: too old, of a time before a restored backup, or garbage.
    fn needs_list(&self) -> bool {
        match self {
            Self::Unreachable(_) => false,
            Self::Refused(status) => matches!(status.code, 400 | 404 | 410 | 422 | 504),
            Self::Unreadable(_) => true,
        }
    }

    fn told(&self, resource: &Resource) -> Arc<str> {
        let name = resource.name;
        match self {
            Self::Unreachable(cause) => format!("Kubernetes API unreachable: {cause}").into(),
            Self::Refused(status) if status.message.is_empty() => {
                format!("Kubernetes API refuses {name}: status {} {}", status.code, status.reason).into()
            }
            Self::Refused(status) => format!("Kubernetes API refuses {name}: {}", status.message).into(),
            Self::Unreadable(cause) => format!("Kubernetes API does not make sense about {name}: {cause}").into(),
        }
    }
}
