//! Real servers, on ports of their own.

use std::{
    fs,
    net::{Ipv4Addr, SocketAddr, TcpStream},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use crate::{
    Lab, Netns, Traffic,
    lab::free_port,
    process::{self, Process},
    tally::wait_until,
};

const POSTGRES: &str = "/usr/lib/postgresql/15/bin";

/// Where a server is to listen.
pub struct Place<'a> {
    netns: Option<&'a Netns>,
    address: SocketAddr,
}

impl<'a> Place<'a> {
    /// A free port of 127.0.0.1.
    fn here() -> Self {
        Self { netns: None, address: (Ipv4Addr::LOCALHOST, free_port()).into() }
    }

    /// This address and port of a namespace.
    ///
    /// # Panics
    /// If it is none.
    pub fn of(netns: &'a Netns, address: &str) -> Self {
        let address = address.parse().unwrap_or_else(|error| panic!("{address:?}: {error}"));
        Self { netns: Some(netns), address }
    }

    /// Has a command run there. Before anything that takes rights away from it.
    fn enter(&self, command: &mut Command) {
        if let Some(netns) = self.netns {
            netns.enter(command);
        }
    }

    fn serves(&self) -> bool {
        let connect = || TcpStream::connect(self.address).is_ok();
        self.netns.map_or_else(connect, |netns| netns.within(connect))
    }
}

/// A server that runs until it is dropped.
pub struct Server {
    process: Process,
    port: u16,
}

impl Server {
    fn start(command: &mut Command, place: &Place<'_>) -> Self {
        let process = Process::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
        wait_until(Duration::from_secs(20), &format!("a server on {}", place.address), || place.serves());
        Self { process, port: place.address.port() }
    }

    /// Its process id: that of the first process, for servers with several.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its child processes, in order of pid.
    pub fn children(&self) -> Vec<u32> {
        children(self.pid())
    }
}

/// The child processes of a process, in order of pid.
///
/// # Panics
/// If the process is gone.
pub fn children(pid: u32) -> Vec<u32> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let list = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut pids: Vec<u32> = list.split_whitespace().map(|pid| pid.parse().expect("a pid")).collect();
    pids.sort_unstable();
    pids
}

/// Redis, in memory only.
pub fn redis(lab: &Lab) -> Server {
    redis_at(lab, &Place::here())
}

/// The same elsewhere, for anyone.
pub fn redis_at(lab: &Lab, place: &Place<'_>) -> Server {
    let [address, port] = [place.address.ip().to_string(), place.address.port().to_string()];
    let mut command = Command::new("redis-server");
    place.enter(&mut command);
    command.args(["--bind", &address, "--port", &port, "--protected-mode", "no"]);
    command.args(["--save", "", "--appendonly", "no", "--dir"]);
    Server::start(command.arg(lab.path("")), place)
}

/// nginx with this many workers and these directives in `server {}`, such as `root` and `location`. `listen` may carry
/// `ssl`: then there is a certificate for it.
///
/// # Panics
/// If its files cannot be written.
pub fn nginx(lab: &Lab, workers: u32, listen: &str, directives: &str) -> Server {
    nginx_at(lab, &Place::here(), workers, listen, directives)
}

/// The same elsewhere.
///
/// # Panics
/// If its files cannot be written.
pub fn nginx_at(lab: &Lab, place: &Place<'_>, workers: u32, listen: &str, directives: &str) -> Server {
    let address = place.address;
    let root = lab.path("");
    let root = root.display();
    let tls = if listen == "ssl" {
        certificate(lab);
        format!("ssl_certificate {root}/cert.pem; ssl_certificate_key {root}/key.pem; ssl_protocols TLSv1.3;")
    } else {
        String::new()
    };
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("{name}_temp_path {root}/{name};\n"))
        .concat();
    let configuration = format!(
        "user root; daemon off; worker_processes {workers}; pid {root}/nginx.pid; error_log {root}/error.log;\n\
         events {{ worker_connections 512; }}\n\
         http {{ access_log off; sendfile on; keepalive_requests 100000; {temporary}\n\
         server {{ listen {address} {listen}; {tls} {directives} }} }}\n"
    );
    let path = lab.path("nginx.conf");
    fs::write(&path, configuration).expect("write nginx.conf");
    let mut command = Command::new("nginx");
    place.enter(&mut command);
    Server::start(command.arg("-e").arg(lab.path("error.log")).arg("-c").arg(path), place)
}

/// A self-signed certificate, `cert.pem` with `key.pem`.
fn certificate(lab: &Lab) {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]);
    command.args(["-subj", "/CN=localhost", "-keyout"]).arg(lab.path("key.pem")).arg("-out").arg(lab.path("cert.pem"));
    process::succeed(&mut command);
}

/// haproxy that keeps no more than `most` connections to the server behind it; further requests wait.
///
/// # Panics
/// If its files cannot be written.
pub fn haproxy_at(lab: &Lab, place: &Place<'_>, behind: &str, most: u32) -> Server {
    let configuration = format!(
        "global\n nbthread 1\n\
         defaults\n mode http\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n timeout queue 60s\n\
         frontend web\n bind {}\n default_backend replicas\n\
         backend replicas\n http-reuse always\n server one {behind} maxconn {most}\n",
        place.address
    );
    let path = lab.path("haproxy.cfg");
    fs::write(&path, configuration).expect("write haproxy.cfg");
    let mut command = Command::new("haproxy");
    place.enter(&mut command);
    Server::start(command.arg("-db").arg("-f").arg(path), place)
}

/// PgBouncer before a PostgreSQL that lets anyone in: a client gets one of `most` connections for a transaction.
///
/// # Panics
/// If its files cannot be written.
pub fn pgbouncer_at(lab: &Lab, place: &Place<'_>, postgres: SocketAddr, most: u32) -> Server {
    let (user, group) = postgres_user();
    let configuration = format!(
        "[databases]\npostgres = host={} port={} dbname=postgres user=postgres\n\
         [pgbouncer]\nlisten_addr = {}\nlisten_port = {}\nunix_socket_dir =\nauth_type = any\n\
         pool_mode = transaction\ndefault_pool_size = {most}\nmin_pool_size = {most}\n",
        postgres.ip(),
        postgres.port(),
        place.address.ip(),
        place.address.port(),
    );
    let path = lab.path("pgbouncer.ini");
    fs::write(&path, configuration).expect("write pgbouncer.ini");
    let mut command = Command::new("pgbouncer");
    place.enter(&mut command);
    // It refuses to run as root.
    as_user(&mut command, user, group);
    Server::start(command.arg("-q").arg(path).current_dir("/"), place)
}

/// PostgreSQL with an empty database `postgres`; anyone may enter.
///
/// # Panics
/// If its files cannot be written.
pub fn postgres(lab: &Lab) -> Server {
    postgres_at(lab, &Place::here())
}

/// The same elsewhere.
///
/// # Panics
/// If its files cannot be written.
pub fn postgres_at(lab: &Lab, place: &Place<'_>) -> Server {
    let (user, group) = postgres_user();
    let directory = lab.path("postgres");
    fs::create_dir(&directory).expect("create PostgreSQL's directory");
    std::os::unix::fs::chown(&directory, Some(user), Some(group)).expect("give PostgreSQL its directory");
    let data = directory.join("data");
    let tool = |name: &str| {
        let mut command = Command::new(Path::new(POSTGRES).join(name));
        place.enter(&mut command);
        as_user(&mut command, user, group);
        command.current_dir("/").env("LC_ALL", "C").arg("-D").arg(&data);
        command
    };
    process::succeed(tool("initdb").args(["-A", "trust", "-U", "postgres", "--no-sync"]));
    if place.netns.is_some() {
        let network = place.address.ip();
        let rule = format!("host all all {network}/8 trust\n");
        let path = data.join("pg_hba.conf");
        let rules = fs::read_to_string(&path).expect("read pg_hba.conf");
        fs::write(&path, rules + &rule).expect("write pg_hba.conf");
    }
    let mut command = tool("postgres");
    command.args(["-p", &place.address.port().to_string(), "-c", "fsync=off"]);
    command.args(["-c", &format!("listen_addresses={}", place.address.ip()), "-k"]);
    let server = Server::start(command.arg(&directory), place);
    // It accepts connections, and turns them away, while it still recovers.
    let status = || fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    wait_until(Duration::from_secs(20), "PostgreSQL to be ready", || {
        status().lines().any(|line| line.trim() == "ready")
    });
    server
}

/// Unlike `Command::uid`, in turn with what else the command does before it runs.
fn as_user(command: &mut Command, user: u32, group: u32) {
    // SAFETY: three system calls, and no pointers but a null one.
    let become_user = move || unsafe {
        match (libc::setgroups(0, std::ptr::null()), libc::setgid(group), libc::setuid(user)) {
            (0, 0, 0) => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        }
    };
    // SAFETY: as it says.
    unsafe { command.pre_exec(become_user) };
}

fn postgres_user() -> (u32, u32) {
    let users = fs::read_to_string("/etc/passwd").expect("read /etc/passwd");
    let fields = users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == "postgres");
    let fields = fields.expect("no user postgres (`cargo xtask setup --tests` brings PostgreSQL)");
    (fields[2].parse().expect("a user id"), fields[3].parse().expect("a group id"))
}

/// A client tool of PostgreSQL, for a server on 127.0.0.1, that negotiates nothing before it logs in.
pub fn postgres_client(name: &str, server: &Server) -> Command {
    let mut command = Command::new(Path::new(POSTGRES).join(name));
    command.env("PGHOST", "127.0.0.1").env("PGPORT", server.port().to_string()).env("PGUSER", "postgres");
    command.env("PGSSLMODE", "disable").env("PGGSSENCMODE", "disable");
    command
}

/// A Python program that prints `ready PORT` and ends with its standard input.
pub fn python(program: &str) -> Traffic {
    let path = PathBuf::from("/usr/bin/python3");
    Traffic::of(Command::new(path).args(["-u", "-c", program]))
}
