//! How an edge's ends are called in a line of their own.

use std::net::SocketAddr;

use weir_engine::{Edge, Kind, Service};

/// Who calls.
pub(super) fn client(edge: &Edge) -> String {
    Service::of(&edge.client.identity).to_string()
}

/// Who is called, and where.
pub(super) fn server(edge: &Edge) -> String {
    let end = &edge.server;
    match (end.identity.kind, end.address, end.port) {
        (Kind::Address, Some(address), Some(port)) => SocketAddr::new(address, port).to_string(),
        (_, _, Some(port)) => format!("{}:{port}", Service::of(&end.identity)),
        _ => Service::of(&end.identity).to_string(),
    }
}

/// Both.
pub(super) fn edge(edge: &Edge) -> String {
    format!("{} -> {}", client(edge), server(edge))
}
