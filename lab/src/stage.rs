//! The stage of a scenario: network namespaces around a router, with servers and applications in them.

use std::{
    fs::{self, File},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use weir_tests::{
    Lab, Netns, Traffic,
    process::run,
    server::{self, Place, Server},
};

use crate::{application, group::Group};

/// Addresses are the star's: 10.78.1.1 for the first namespace, 10.78.2.1 for the second and so on.
pub(crate) const APP: &str = "10.78.2.1:8000";
pub(crate) const POSTGRES: &str = "10.78.3.1:5432";
pub(crate) const REDIS: &str = "10.78.3.1:6379";
pub(crate) const WEB: &str = "10.78.4.1:8080";
pub(crate) const PGBOUNCER: &str = "10.78.4.1:6432";
pub(crate) const UP: &str = "10.78.5.1:9000";

/// All namespaces; removed on drop. Declare what runs in them after it.
pub(crate) struct Stage {
    pub(crate) load: Netns,
    pub(crate) app: Netns,
    pub(crate) data: Netns,
    pub(crate) web: Netns,
    pub(crate) up: Netns,
    /// All packets pass here.
    pub(crate) router: Netns,
    pub(crate) seed: u64,
    log: File,
    // Dropped last: it holds the lock that other runs wait for.
    lab: Lab,
}

/// An application that takes commands on its standard input.
pub(crate) type App = Traffic;

impl Stage {
    /// Waits for the lock that excludes other runs and kernel tests.
    pub(crate) fn new(seed: u64, log: &Path) -> Result<Self> {
        let lab = Lab::enter(helper()?);
        crate::group::sweep();
        let (router, [load, app, data, web, up]) = Netns::star();
        application::write_all(&lab.path(""))?;
        let log = File::create(log).with_context(|| format!("create {}", log.display()))?;
        Ok(Self { load, app, data, web, up, router, seed, log, lab })
    }

    /// Starts an application of the lab.
    pub(crate) fn app(&self, netns: &Netns, name: &str, arguments: &[&str]) -> Result<App> {
        self.start(netns, None, &[], name, arguments)
    }

    /// The same in a control group.
    pub(crate) fn app_in(&self, group: &Group, netns: &Netns, name: &str, arguments: &[&str]) -> Result<App> {
        self.start(netns, Some(group), &[], name, arguments)
    }

    /// The same with a limit of open files.
    pub(crate) fn app_of_files(&self, files: u32, netns: &Netns, name: &str, arguments: &[&str]) -> Result<App> {
        self.start(netns, None, &["prlimit", &format!("--nofile={files}")], name, arguments)
    }

    /// Clients of a server, whose arrivals the seed decides.
    pub(crate) fn clients(&self, server: &str) -> Result<App> {
        self.app(&self.load, "load.py", &[server, &self.seed.to_string()])
    }

    /// A process that uses all the processor time that it gets.
    pub(crate) fn busy_loop(&self, group: &Group) -> Result<weir_tests::process::Process> {
        let mut command = Command::new("/bin/sh");
        command.args(["-c", "while :; do :; done"]).process_group(0);
        group.enter(&mut command)?;
        Ok(weir_tests::process::Process::start(&mut command))
    }

    /// `through`: a program that starts it, with its arguments.
    fn start(
        &self,
        netns: &Netns,
        group: Option<&Group>,
        through: &[&str],
        name: &str,
        arguments: &[&str],
    ) -> Result<App> {
        let program = application::start(&self.lab.path(""), name)?;
        let words = through.iter().copied().chain(program.iter().map(String::as_str)).chain(arguments.iter().copied());
        let words: Vec<&str> = words.collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(self.lab.path(""));
        command.stderr(self.log.try_clone().context("the applications' log")?);
        // Ctrl-C is the lab's: it ends its applications in order.
        command.process_group(0);
        netns.enter(&mut command);
        if let Some(group) = group {
            group.enter(&mut command)?;
        }
        Ok(Traffic::of(&mut command))
    }

    /// PostgreSQL with a function `work()` that takes `work_ms`.
    pub(crate) fn postgres(&self, work_ms: u32) -> Server {
        let server = server::postgres_at(&self.lab, &Place::of(&self.data, POSTGRES));
        self.work_takes(work_ms);
        server
    }

    /// Changes the duration of `work()`, and nothing else.
    pub(crate) fn work_takes(&self, milliseconds: u32) {
        let seconds = f64::from(milliseconds) / 1e3;
        let body = format!("SELECT pg_sleep({seconds})");
        self.sql(&format!("CREATE OR REPLACE FUNCTION work() RETURNS void LANGUAGE sql VOLATILE AS '{body}'"));
    }

    /// Runs a statement as the superuser, from the server's own namespace.
    pub(crate) fn sql(&self, statement: &str) {
        let (host, port) = POSTGRES.split_once(':').unwrap_or_default();
        self.data
            .run("psql", &["-h", host, "-p", port, "-U", "postgres", "-q", "-v", "ON_ERROR_STOP=1", "-c", statement]);
    }

    pub(crate) fn redis(&self) -> Server {
        server::redis_at(&self.lab, &Place::of(&self.data, REDIS))
    }

    /// nginx in the place of `web`.
    pub(crate) fn nginx(&self, directives: &str) -> Server {
        server::nginx_at(&self.lab, &Place::of(&self.web, WEB), 1, "", directives)
    }

    /// nginx in front of replicas on these ports of `up`, with at most `keep` idle connections; `without` is drained.
    pub(crate) fn nginx_before(&self, ports: &[u16], keep: u32, without: Option<u16>) -> Result<Server> {
        self.write_replicas(ports, without)?;
        // The last brace here closes the server's block, and the template's own closes the upstream's.
        let replicas = self.lab.path("replicas.conf");
        let directives = format!(
            "location / {{ proxy_pass http://replicas; proxy_http_version 1.1; proxy_set_header Connection ''; }} }} \
             upstream replicas {{ include {}; keepalive {keep};",
            replicas.display()
        );
        Ok(self.nginx(&directives))
    }

    /// Changes its replicas; it finishes the requests under way first.
    pub(crate) fn balance(&self, nginx: &Server, ports: &[u16], without: Option<u16>) -> Result<()> {
        self.write_replicas(ports, without)?;
        self.signal(nginx.pid(), libc::SIGHUP);
        Ok(())
    }

    fn write_replicas(&self, ports: &[u16], without: Option<u16>) -> Result<()> {
        let with = ports.iter().filter(|port| Some(**port) != without);
        let lines: String = with.map(|port| format!("server 10.78.5.1:{port};\n")).collect();
        fs::write(self.lab.path("replicas.conf"), lines).context("write replicas.conf")
    }

    /// haproxy in the place of the application, in front of `web`.
    pub(crate) fn haproxy(&self, most: u32) -> Server {
        server::haproxy_at(&self.lab, &Place::of(&self.app, APP), WEB, most)
    }

    /// PgBouncer in front of PostgreSQL.
    pub(crate) fn pgbouncer(&self, most: u32) -> Server {
        let postgres = POSTGRES.parse().expect("an address");
        server::pgbouncer_at(&self.lab, &Place::of(&self.web, PGBOUNCER), postgres, most)
    }

    /// A server that echoes what it receives.
    pub(crate) fn echo(&self) -> App {
        self.lab.serve_in(&self.web, "echo", "10.78.4.1:0")
    }

    /// Opens and closes connections one after the other, as fast as possible.
    pub(crate) fn short_connections(&self, server: &str, count: u32) {
        let helper = self.lab.helper().to_string_lossy().into_owned();
        self.load.run(&helper, &["short", server, &count.to_string()]);
    }

    /// A signal to a process of this stage.
    pub(crate) fn signal(&self, pid: u32, signal: i32) {
        run("kill", &[&format!("-{signal}"), &pid.to_string()]);
    }
}

/// The tests' helper, which is built with the lab.
fn helper() -> Result<PathBuf> {
    let own = std::env::current_exe().context("where the lab itself is")?;
    let helper = own.with_file_name("weir-traffic");
    anyhow::ensure!(helper.exists(), "{} is not there: run `cargo xtask lab`, which builds it", helper.display());
    Ok(helper)
}
