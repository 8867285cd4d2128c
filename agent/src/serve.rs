//! HTTP: what the agent knows, for scrapers and health checks. On a thread of its own: a scrape holds up no reading.

mod connection;
mod latest;
mod metrics;

use std::{
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener},
    sync::{Arc, Mutex},
    thread,
};

use anyhow::{Context as _, Result};
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use tokio::sync::Semaphore;
use weir_export::prometheus::Prometheus;

pub(crate) use latest::Latest;

/// The port: free in the list of Prometheus' exporters when it was chosen.
const PORT: u16 = 9797;
/// Expositions written at once: each holds its edges, some MB. More get 503.
const SCRAPES: usize = 2;

/// Why there is nothing to serve.
const STARTING: &str = "starting: the first window of 5 s is not over\n";

/// Sockets that listen.
pub(crate) struct Server(Vec<TcpListener>);

/// What requests are answered from.
struct Served {
    latest: Arc<Latest>,
    prometheus: Mutex<Prometheus>,
    scrapes: Arc<Semaphore>,
}

impl Server {
    /// Listens at these addresses; at none given, on both loopback addresses, of which a host may lack the second.
    pub(crate) fn bind(addresses: &[SocketAddr]) -> Result<Self> {
        let bound = |address: &SocketAddr| {
            let listener = TcpListener::bind(address).with_context(|| {
                format!("cannot listen at {address}: is another agent running? --listen chooses another address")
            })?;
            listener.set_nonblocking(true).context("a socket that does not block")?;
            Ok(listener)
        };
        if !addresses.is_empty() {
            return addresses.iter().map(bound).collect::<Result<_>>().map(Self);
        }
        let first = bound(&(Ipv4Addr::LOCALHOST, PORT).into())?;
        let second = bound(&(Ipv6Addr::LOCALHOST, PORT).into()).ok();
        Ok(Self([Some(first), second].into_iter().flatten().collect()))
    }

    /// Where `/metrics` is.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let addresses = self.0.iter().filter_map(|listener| listener.local_addr().ok());
        addresses.map(|address| format!("http://{address}/metrics")).collect()
    }

    /// Serves until the process ends.
    pub(crate) fn start(self, latest: Arc<Latest>, prometheus: Prometheus) -> Result<()> {
        let scrapes = Arc::new(Semaphore::new(SCRAPES));
        let served = Arc::new(Served { latest, prometheus: Mutex::new(prometheus), scrapes });
        let router = Router::new()
            .route("/metrics", get(metrics::answer))
            .route("/healthz", get(healthz))
            .route("/readyz", get(readyz))
            .with_state(served);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(SCRAPES)
            .build()
            .context("tokio runtime")?;
        let run = move || runtime.block_on(connection::serve(self.0, router));
        thread::Builder::new().name("http".into()).spawn(run).context("start a thread for HTTP")?;
        Ok(())
    }
}

/// Whether readings go on.
async fn healthz(State(served): State<Arc<Served>>) -> impl IntoResponse {
    let (status, text) = match served.latest.stale_s() {
        None => (StatusCode::OK, "ok\n".to_owned()),
        Some(seconds) => (StatusCode::SERVICE_UNAVAILABLE, format!("no reading for {seconds} s\n")),
    };
    (status, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], text)
}

/// Whether there is something to serve.
async fn readyz(State(served): State<Arc<Served>>) -> impl IntoResponse {
    match served.latest.get() {
        Some(_) => (StatusCode::OK, "ok\n"),
        None => (StatusCode::SERVICE_UNAVAILABLE, STARTING),
    }
}
