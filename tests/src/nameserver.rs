//! A real name server in a network namespace, and processes that ask it.

use std::{
    ffi::CString,
    fs, io,
    os::unix::{ffi::OsStrExt as _, process::CommandExt as _},
    process::{Command, Stdio},
    time::Duration,
};

use crate::{Lab, Netns, Traffic, process::Process, tally::wait_until};

/// A client whose commands are lines: `connect HOST PORT` as any program does it, and `ask NAME ADDRESS PORT`, which asks as
/// musl does, from a socket that is not connected, and then connects to the answer. It answers with the peer's address,
/// or `failed`, and holds its connections.
const CLIENT: &str = r#"
import socket, struct, sys
held = []
def connect(host, port):
    s = socket.create_connection((host, int(port)), 5)
    s.sendall(b"x")
    assert s.recv(1) == b"x"
    held.append(s)
    print(s.getpeername()[0], flush=True)
def ask(name, server, port):
    question = b"".join(bytes([len(part)]) + part.encode() for part in name.split(".")) + b"\0\0\1\0\1"
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as s:
        s.settimeout(5)
        s.sendto(struct.pack(">6H", 7, 0x100, 1, 0, 0, 0) + question, (server, 53))
        answer = s.recvmsg(2048)[0]
    connect(".".join(map(str, answer[-4:])), port)
print("ready", flush=True)
for line in sys.stdin:
    command, *words = line.split()
    try:
        {"connect": connect, "ask": ask}[command](*words)
    except OSError as error:
        print("failed", error, flush=True)
"#;

/// dnsmasq, on the loopback of a namespace. It knows its records alone and forwards no question.
pub struct NameServer {
    _process: Process,
}

impl NameServer {
    /// One with these options, such as `--host-record=db.test,192.0.2.1`, in this namespace.
    ///
    /// # Panics
    /// If it does not serve within ten seconds.
    pub fn start(netns: &Netns, records: &[&str]) -> Self {
        let mut command = Command::new("dnsmasq");
        command.args([
            "--no-daemon",
            "--conf-file=/dev/null",
            "--no-resolv",
            "--no-hosts",
            "--user=root",
            "--pid-file=",
        ]);
        command.args(["--log-facility=/dev/null", "--local-ttl=60", "--edns-packet-max=1232", "--local=/test/"]);
        netns.enter(command.args(records).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()));
        let process = Process::start(&mut command);
        wait_for_name_server(netns);
        Self { _process: process }
    }
}

/// Waits until something takes datagrams on port 53 of the namespace.
///
/// # Panics
/// If nothing does within ten seconds.
pub fn wait_for_name_server(netns: &Netns) {
    wait_until(Duration::from_secs(10), "a name server", || {
        let sockets = netns.run("cat", &["/proc/self/net/udp", "/proc/self/net/udp6"]);
        sockets.lines().any(|line| line.split_whitespace().nth(1).is_some_and(|local| local.ends_with(":0035")))
    });
}

/// A client in a namespace, with its own `/etc/resolv.conf` and `/etc/nsswitch.conf`: the name server on 127.0.0.1, and these
/// options.
///
/// # Panics
/// If it does not start.
pub fn client(lab: &Lab, netns: &Netns, options: &str) -> Traffic {
    let files = [
        ("resolv.conf", format!("nameserver 127.0.0.1\noptions timeout:2 attempts:1 {options}\n")),
        ("nsswitch.conf", "hosts: dns\n".into()),
    ];
    let files = files.map(|(name, text)| {
        let path = lab.path(name);
        fs::write(&path, text).unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
        let place = format!("/etc/{name}");
        (c_string(path.as_os_str().as_bytes()), c_string(place.as_bytes()))
    });
    let mut command = Command::new("/usr/bin/python3");
    netns.enter(command.args(["-c", CLIENT]));
    // SAFETY: system calls on strings that the closure owns.
    unsafe { command.pre_exec(move || replace(&files)) };
    Traffic::of(&mut command)
}

fn c_string(bytes: &[u8]) -> CString {
    CString::new(bytes).expect("a path")
}

/// In a mount namespace of its own, each first file is seen in the place of the second.
fn replace(files: &[(CString, CString)]) -> io::Result<()> {
    let none = std::ptr::null();
    let done = |result: i32| if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) };
    // SAFETY: these calls keep no pointer.
    unsafe {
        done(libc::unshare(libc::CLONE_NEWNS))?;
        done(libc::mount(none, c"/".as_ptr(), none, libc::MS_REC | libc::MS_PRIVATE, none.cast()))?;
        for (file, place) in files {
            done(libc::mount(file.as_ptr(), place.as_ptr(), none, libc::MS_BIND, none.cast()))?;
        }
    }
    Ok(())
}
