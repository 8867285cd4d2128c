//! Servers for one row, in the group whose time is taken.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    measure::{
        priority::{self, Side},
        process::{Process, output},
    },
    site::Site,
    subject::tool::find,
};

const STARTS_WITHIN: Duration = Duration::from_secs(20);

/// A server that runs until it is dropped.
pub(super) struct Server {
    process: Process,
    /// Its port on 127.0.0.1.
    pub(super) port: u16,
}

impl Server {
    fn start(site: &Site, command: &mut Command, port: u16) -> Result<Self> {
        let command = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut process = Process::start(site.group.enter(Side::Servers.pin(command)))?;
        let start = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            let waits = process.runs() && start.elapsed() < STARTS_WITHIN;
            ensure!(waits, "{} does not listen on its port", command.get_program().to_string_lossy());
            thread::sleep(Duration::from_millis(10));
        }
        Ok(Self { process, port })
    }

    /// Its process id: that of the first process, for servers with several.
    pub(super) fn pid(&self) -> u32 {
        self.process.pid()
    }
}

/// Where a program is, or an error that names the command that installs it.
pub(super) fn program(name: &str) -> Result<PathBuf> {
    find(name).with_context(|| format!("{name} is not installed (`cargo xtask setup --bench` installs it)"))
}

/// Redis, in memory only.
pub(super) fn redis(site: &Site) -> Result<Server> {
    let port = site.free_port()?;
    let mut command = Command::new(program("redis-server")?);
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no", "--dir"]);
    Server::start(site, command.arg(site.path("")), port)
}

/// nginx with one worker and an answer from memory; its counters are on a port of their own.
pub(super) struct Nginx {
    /// The server.
    pub(super) server: Server,
    status_port: u16,
}

/// nginx.
pub(super) fn nginx(site: &Site) -> Result<Nginx> {
    let (port, status_port) = (site.free_port()?, site.free_port()?);
    let root = site.path("");
    let root = root.display();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {root}/{name};\n"))
        .concat();
    let configuration = format!(
        "user root; daemon off; worker_processes 1; pid {root}/nginx.pid; error_log {root}/error.log;\n\
         events {{ worker_connections 4096; }}\n\
         http {{ access_log off; keepalive_requests 1000000000; {temporary}\n\
         server {{ listen 127.0.0.1:{port} backlog=4096; return 200 ok; }}\n\
         server {{ listen 127.0.0.1:{status_port}; location / {{ stub_status; }} }} }}\n"
    );
    let path = site.path("nginx.conf");
    fs::write(&path, configuration).context("write nginx.conf")?;
    let mut command = Command::new(program("nginx")?);
    command.arg("-e").arg(site.path("error.log")).arg("-c").arg(path);
    Ok(Nginx { server: Server::start(site, &mut command, port)?, status_port })
}

impl Nginx {
    /// Connections accepted so far, this question's own included.
    pub(super) fn accepted(&self) -> Result<u64> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.status_port)).context("nginx's status")?;
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
        let mut text = String::new();
        stream.read_to_string(&mut text)?;
        accepts(&text).with_context(|| format!("no counters in nginx's status: {text}"))
    }
}

/// The first number of ` 16630948 16630948 31070465`, below `server accepts handled requests`.
fn accepts(status: &str) -> Option<u64> {
    let line = status.lines().skip_while(|line| !line.starts_with("server accepts")).nth(1)?;
    line.split_whitespace().next()?.parse().ok()
}

/// PostgreSQL with pgbench's tables.
pub(super) fn postgres(site: &Site) -> Result<Server> {
    let tools = postgres_tools()?;
    let port = site.free_port()?;
    let (user, group) = postgres_user()?;
    let directory = site.path("postgres");
    fs::create_dir(&directory).context("create PostgreSQL's directory")?;
    std::os::unix::fs::chown(&directory, Some(user), Some(group)).context("give PostgreSQL its directory")?;
    let data = directory.join("data");
    let tool = |name: &str| {
        let mut command = Command::new(tools.join(name));
        command.uid(user).gid(group).current_dir("/").env("LC_ALL", "C").arg("-D").arg(&data);
        command
    };
    output(tool("initdb").args(["-A", "trust", "-U", "postgres", "--no-sync"]), Duration::from_secs(60))?;
    let mut command = tool("postgres");
    command.args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off"]);
    // Its own work in the background would be noise.
    command.args(["-c", "autovacuum=off", "-c", "checkpoint_timeout=1d", "-k"]);
    // It joins the group as root, before it changes its user.
    let mut command = as_user(command.arg(&directory), user, group);
    let server = Server::start(site, &mut command, port)?;
    let mut filling = pgbench(&server)?;
    output(filling.args(["-i", "-q", "-s", "1", "postgres"]), Duration::from_secs(120))?;
    priority::raise_tree(server.pid());
    Ok(server)
}

/// `uid` and `gid` of a command take effect before its hooks run, and a user may not join our group: setpriv changes
/// them once it has joined.
fn as_user(command: &Command, user: u32, group: u32) -> Command {
    let mut wrapped = Command::new("setpriv");
    wrapped.args(["--reuid", &user.to_string(), "--regid", &group.to_string(), "--clear-groups", "--"]);
    wrapped.arg(command.get_program()).args(command.get_args()).current_dir("/").env("LC_ALL", "C");
    wrapped
}

fn postgres_user() -> Result<(u32, u32)> {
    let users = fs::read_to_string("/etc/passwd").context("/etc/passwd")?;
    let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == "postgres");
    let fields = fields.context("there is no user postgres (`cargo xtask setup --bench` installs PostgreSQL)")?;
    let id = |index: usize| fields.get(index).and_then(|id| id.parse().ok()).context("/etc/passwd: not an id");
    Ok((id(2)?, id(3)?))
}

/// The newest version that is installed, where Debian puts it.
fn postgres_tools() -> Result<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let number = |path: &Path| path.file_name()?.to_str()?.parse::<u32>().ok();
    let newest = versions.map(|entry| entry.path()).max_by_key(|path| number(path));
    newest.map(|path| path.join("bin")).context("PostgreSQL is not installed (`cargo xtask setup --bench` installs it)")
}

/// pgbench for a server, that negotiates nothing before it logs in.
pub(super) fn pgbench(server: &Server) -> Result<Command> {
    let mut command = Command::new(postgres_tools()?.join("pgbench"));
    command.env("PGHOST", "127.0.0.1").env("PGPORT", server.port.to_string()).env("PGUSER", "postgres");
    command.env("PGSSLMODE", "disable").env("PGGSSENCMODE", "disable");
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nginx_counts_are_below_their_heading() {
        let status =
            "HTTP/1.1 200 OK\r\n\r\nActive connections: 1 \nserver accepts handled requests\n 7 8 9 \nReading: 0";
        assert_eq!(accepts(status), Some(7));
        assert_eq!(accepts("404"), None);
    }
}
