//! Connections: how many at once, and how long one may take.

use std::{net::TcpListener, sync::Arc, time::Duration};

use axum::Router;
use futures_util::future::join_all;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    net::{TcpListener as Listener, TcpStream},
    sync::Semaphore,
    time::{sleep, timeout},
};

/// Connections at once, idle ones included; one more is closed. A choice: a host has one or two scrapers and some health checks.
const MOST: usize = 64;
/// For the head of a request, and for an idle connection: a scraper comes every 10 to 60 s, and connects anew for 40 us.
const HEAD: Duration = Duration::from_secs(5);
/// For a whole connection: Prometheus' default scrape time-out is 10 s.
const WHOLE: Duration = Duration::from_secs(60);
/// The largest head.
const HEAD_BYTES: usize = 16 << 10;
/// After an accept that failed for want of descriptors or memory.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves for ever.
pub(super) async fn serve(listeners: Vec<TcpListener>, router: Router) {
    let places = Arc::new(Semaphore::new(MOST));
    let each = listeners.into_iter().map(|listener| accept(listener, router.clone(), Arc::clone(&places)));
    join_all(each).await;
}

async fn accept(listener: TcpListener, router: Router, places: Arc<Semaphore>) {
    let listener = match Listener::from_std(listener) {
        Ok(listener) => listener,
        Err(error) => {
            eprintln!("weir: HTTP is not served: {error}");
            return;
        }
    };
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else { continue };
        let router = router.clone();
        tokio::spawn(async move {
            // Whatever ends it, the scraper sees it.
            let _ = timeout(WHOLE, answer(stream, router)).await;
            drop(place);
        });
    }
}

async fn answer(stream: TcpStream, router: Router) -> hyper::Result<()> {
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await
}
