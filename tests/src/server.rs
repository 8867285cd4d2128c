//! Real servers, on ports of their own.

use std::{
    fs,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use crate::{
    Lab, Traffic,
    lab::{free_port, wait_for_port},
    process::{self, Process},
};

const POSTGRES: &str = "/usr/lib/postgresql/15/bin";

/// A server that runs until it is dropped.
pub struct Server {
    process: Process,
    port: u16,
}

impl Server {
    fn start(command: &mut Command, port: u16) -> Self {
        let process = Process::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
        wait_for_port(port);
        Self { process, port }
    }

    /// Its process id: that of the first process, for servers with several.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Its port on 127.0.0.1.
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
    let port = free_port();
    let mut command = Command::new("redis-server");
    command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no", "--dir"]);
    Server::start(command.arg(lab.path("")), port)
}

/// nginx with this many workers and these directives in `server {}`, such as `root` and `location`. `listen` may carry
/// `ssl`: then there is a certificate for it.
///
/// # Panics
/// If its files cannot be written.
pub fn nginx(lab: &Lab, workers: u32, listen: &str, directives: &str) -> Server {
    let port = free_port();
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
         server {{ listen 127.0.0.1:{port} {listen}; {tls} {directives} }} }}\n"
    );
    let path = lab.path("nginx.conf");
    fs::write(&path, configuration).expect("write nginx.conf");
    Server::start(Command::new("nginx").arg("-e").arg(lab.path("error.log")).arg("-c").arg(path), port)
}

/// A self-signed certificate, `cert.pem` with `key.pem`.
fn certificate(lab: &Lab) {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]);
    command.args(["-subj", "/CN=localhost", "-keyout"]).arg(lab.path("key.pem")).arg("-out").arg(lab.path("cert.pem"));
    process::succeed(&mut command);
}

/// PostgreSQL with an empty database `postgres`; anyone may enter.
///
/// # Panics
/// If its files cannot be written.
pub fn postgres(lab: &Lab) -> Server {
    let port = free_port();
    let (user, group) = postgres_user();
    let directory = lab.path("postgres");
    fs::create_dir(&directory).expect("create PostgreSQL's directory");
    std::os::unix::fs::chown(&directory, Some(user), Some(group)).expect("give PostgreSQL its directory");
    let data = directory.join("data");
    let tool = |name: &str| {
        let mut command = Command::new(Path::new(POSTGRES).join(name));
        command.uid(user).gid(group).current_dir("/").env("LC_ALL", "C").arg("-D").arg(&data);
        command
    };
    process::succeed(tool("initdb").args(["-A", "trust", "-U", "postgres", "--no-sync"]));
    let mut command = tool("postgres");
    command.args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-k"]);
    Server::start(command.arg(&directory), port)
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
