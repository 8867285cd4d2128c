//! The rows of other projects' load generators: redis-benchmark, wrk, pgbench.

use std::{process::Command, rc::Rc, thread, time::Duration};

use anyhow::{Context as _, Result};

use super::{
    Run, Truth, Workload,
    server::{self, Nginx, Server},
};
use crate::{
    measure::{
        priority::{self, Side},
        process::output,
    },
    site::Site,
};

const ENDS_WITHIN: Duration = Duration::from_secs(60);
/// Servers finish the generator's connections; that time belongs to the run.
const SETTLES: Duration = Duration::from_millis(20);
const CONNECTIONS: u64 = 10;
const PIPELINE: u64 = 16;

/// Runs a generator in the group; its output, and the processor time of all.
fn drive(site: &Site, command: &mut Command) -> Result<(String, f64)> {
    let before = site.group.cpu_ns()?;
    let text = output(site.group.enter(Side::Generators.pin(command)), ENDS_WITHIN)?;
    thread::sleep(SETTLES);
    Ok((text, (site.group.cpu_ns()? - before) as f64))
}

// === redis ===

struct Redis {
    site: Rc<Site>,
    server: Server,
    requests: u64,
    depth: u64,
}

pub(super) fn redis(site: &Rc<Site>) -> Result<Box<dyn Workload>> {
    open_redis(site, 100_000, 1)
}

pub(super) fn redis_pipeline(site: &Rc<Site>) -> Result<Box<dyn Workload>> {
    open_redis(site, 1_200_000, PIPELINE)
}

fn open_redis(site: &Rc<Site>, requests: u64, depth: u64) -> Result<Box<dyn Workload>> {
    let server = server::redis(site)?;
    Ok(Box::new(Redis { site: site.clone(), server, requests: site.scaled(requests), depth }))
}

impl Workload for Redis {
    fn run(&mut self) -> Result<Run> {
        let mut command = Command::new(server::program("redis-benchmark")?);
        command.args(["-h", "127.0.0.1", "-t", "get", "--csv", "-p", &self.server.port.to_string()]);
        for (option, value) in [("-n", self.requests), ("-c", CONNECTIONS), ("-P", self.depth)] {
            command.args([option, &value.to_string()]);
        }
        let (text, cpu_ns) = drive(&self.site, &mut command)?;
        let rate = redis_rate(&text).with_context(|| format!("no rate in what redis-benchmark printed: {text}"))?;
        let units = self.requests as f64;
        // It reads the server's configuration first, on a connection of its own.
        let (rounds, connects) = (self.requests / self.depth + 1, CONNECTIONS + 1);
        let truth = Truth { port: self.server.port, rounds: (rounds, rounds), connects: (connects, connects) };
        Ok(Run { units, elapsed_ns: units / rate * 1e9, cpu_ns, truth: Some(truth), ..Run::default() })
    }
}

/// Of `"GET","66666.67","0.112",…`.
fn redis_rate(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with("\"GET\""))?;
    line.split(',').nth(1)?.trim_matches('"').parse().ok()
}

// === nginx ===

struct Wrk {
    site: Rc<Site>,
    nginx: Nginx,
    close: bool,
}

pub(super) fn nginx_keepalive(site: &Rc<Site>) -> Result<Box<dyn Workload>> {
    Ok(Box::new(Wrk { site: site.clone(), nginx: server::nginx(site)?, close: false }))
}

pub(super) fn nginx_close(site: &Rc<Site>) -> Result<Box<dyn Workload>> {
    Ok(Box::new(Wrk { site: site.clone(), nginx: server::nginx(site)?, close: true }))
}

impl Workload for Wrk {
    fn run(&mut self) -> Result<Run> {
        let port = self.nginx.server.port;
        let mut command = Command::new(server::program("wrk")?);
        // It takes whole seconds only.
        let seconds = 1;
        command.args(["-t", "1", "-c", &CONNECTIONS.to_string(), "-d", &format!("{seconds}s")]);
        if self.close {
            command.args(["-H", "Connection: close"]);
        }
        let before = self.nginx.accepted()?;
        let (text, cpu_ns) = drive(&self.site, command.arg(format!("http://127.0.0.1:{port}/")))?;
        // The query itself is a connection.
        let connects = self.nginx.accepted()? - before - 1;
        let (requests, rate) = wrk_counts(&text).with_context(|| format!("no counts in what wrk printed: {text}"))?;
        let units = requests as f64;
        // It stops at a time, with a request on each connection under way.
        let truth = Truth { port, rounds: (requests, requests + CONNECTIONS), connects: (connects, connects) };
        Ok(Run { units, elapsed_ns: units / rate * 1e9, cpu_ns, truth: Some(truth), ..Run::default() })
    }
}

/// Of `  123 requests in 2.00s, 1.0MB read` and `Requests/sec:  61.5`.
fn wrk_counts(text: &str) -> Option<(u64, f64)> {
    let requests = text.lines().find_map(|line| line.trim().split_once(" requests in "))?.0.parse().ok()?;
    let rate = text.lines().find_map(|line| line.strip_prefix("Requests/sec:"))?.trim().parse().ok()?;
    Some((requests, rate))
}

// === postgres ===

struct Pgbench {
    site: Rc<Site>,
    server: Server,
    per_client: u64,
}

pub(super) fn pgbench(site: &Rc<Site>) -> Result<Box<dyn Workload>> {
    Ok(Box::new(Pgbench { site: site.clone(), server: server::postgres(site)?, per_client: site.scaled(2500) }))
}

impl Workload for Pgbench {
    fn run(&mut self) -> Result<Run> {
        let mut command = server::pgbench(&self.server)?;
        command.args(["-n", "-S", "-M", "prepared", "-j", "1", "-c", &CONNECTIONS.to_string()]);
        command.args(["-t", &self.per_client.to_string(), "postgres"]);
        // Each back end has a session of its own, so each must be raised as soon as it exists.
        let pid = self.server.pid();
        let raising = thread::spawn(move || {
            thread::sleep(Duration::from_millis(60));
            priority::raise_tree(pid);
        });
        let (text, cpu_ns) = drive(&self.site, &mut command)?;
        let _ = raising.join();
        let rate = pgbench_rate(&text).with_context(|| format!("no rate in what pgbench printed: {text}"))?;
        let transactions = self.per_client * CONNECTIONS;
        // Each connection logs in and prepares; one more, first, queries the tables.
        let rounds = transactions + SETUP_ROUNDS;
        let truth =
            Truth { port: self.server.port, rounds: (rounds, rounds), connects: (CONNECTIONS + 1, CONNECTIONS + 1) };
        let units = transactions as f64;
        Ok(Run { units, elapsed_ns: units / rate * 1e9, cpu_ns, truth: Some(truth), ..Run::default() })
    }
}

/// pgbench's own rounds beside its transactions, for ten connections.
const SETUP_ROUNDS: u64 = 23;

/// Of `tps = 30000.1 (without initial connection time)`.
fn pgbench_rate(text: &str) -> Option<f64> {
    text.lines().find_map(|line| line.strip_prefix("tps = "))?.split(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_found_in_what_generators_print() {
        assert_eq!(redis_rate("\"test\",\"rps\"\n\"GET\",\"66666.67\",\"0.112\"\n"), Some(66666.67));
        let wrk = "Running 2s test\n  Latency  1us\n  123 requests in 2.00s, 1.0MB read\nRequests/sec:     61.50\n";
        assert_eq!(wrk_counts(wrk), Some((123, 61.5)));
        assert_eq!(pgbench_rate("latency average = 1\ntps = 300.25 (without initial)\n"), Some(300.25));
        assert_eq!((redis_rate(""), wrk_counts(""), pgbench_rate("")), (None, None, None));
    }
}
