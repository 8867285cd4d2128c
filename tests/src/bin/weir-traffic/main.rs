//! Traffic of every kind, in a process of its own: weir's edges are between processes.
//!
//! `weir-traffic serve KIND ADDRESS [NUMBER...]` listens, prints `ready PORT` and serves until its standard input ends.
//! `weir-traffic client ADDRESS` prints `ready` and obeys commands on its standard input, one answer line for each.
//! `weir-traffic short ADDRESS COUNT` makes short connections and exits.
//! `weir-traffic brief ADDRESS MILLISECONDS` makes one and lives so long.

mod arrivals;
mod client;
mod noise;
mod pool;
mod receive;
mod send;
mod serve;
mod swarm;
mod uring;

use std::{net::SocketAddr, process::ExitCode, time::Duration};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["serve", kind, address, numbers @ ..] => serve::run(kind, parse(address), numbers),
        ["client", address] => client::run(parse(address)),
        ["short", address, count] => client::short(parse(address), count.parse().expect("a count")),
        ["brief", address, milliseconds] => {
            swarm::brief(parse(address), Duration::from_millis(milliseconds.parse().expect("milliseconds")))
        }
        _ => panic!(
            "usage: weir-traffic serve KIND ADDRESS [NUMBER...] | client ADDRESS | short ADDRESS COUNT | \
             brief ADDRESS MILLISECONDS"
        ),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir-traffic {}: {error}", words.join(" "));
            ExitCode::FAILURE
        }
    }
}

fn parse(address: &str) -> SocketAddr {
    address.parse().unwrap_or_else(|error| panic!("{address:?} is no address and port: {error}"))
}
