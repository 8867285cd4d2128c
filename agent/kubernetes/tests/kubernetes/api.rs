//! A small API server over HTTPS, for behaviour that cannot be provoked in a real one: pages of lists, bookmarks of watches, tokens,
//! 410, nonsense, and no server at all. Its answers have the format of Kubernetes.

mod answer;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    fs,
    io::{BufRead as _, BufReader, ErrorKind, Read, Write},
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    path::PathBuf,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use serde_json::{Value, json};

use answer::{RESOURCES, Request, resource, status};

pub(crate) struct Api {
    address: SocketAddr,
    tls: Arc<ServerConfig>,
    shared: Arc<Shared>,
    dir: PathBuf,
}

struct Shared {
    state: Mutex<State>,
    news: Condvar,
}

#[derive(Default)]
pub(crate) struct State {
    running: bool,
    connections: Vec<TcpStream>,
    /// All changes: version, resource, type, object. Objects are text, because the load test has many.
    log: Vec<(u64, &'static str, &'static str, String)>,
    objects: BTreeMap<(&'static str, String), String>,
    version: u64,
    /// Watches from earlier versions are answered with 410.
    pub(crate) oldest: u64,
    pub(crate) token: String,
    /// The content of all answers, if set.
    pub(crate) nonsense: Option<&'static str>,
    /// Answered with 403.
    pub(crate) forbidden: Option<&'static str>,
    /// Answered with 404, as by a server without it.
    pub(crate) unknown: Option<&'static str>,
    /// The first continue token of a list has expired.
    pub(crate) expire_continue: bool,
    /// Open watches.
    pub(crate) watches: usize,
    /// Bookmarks sent.
    pub(crate) bookmarks: usize,
    /// Paths with their parameters.
    pub(crate) requests: Vec<String>,
}

type Stream = StreamOwned<ServerConnection, TcpStream>;

impl Api {
    /// Makes certificates and the kubeconfig, and starts. `name` must be unique among the tests.
    pub(crate) fn start(name: &str) -> Self {
        let mut api = Self::prepare(name);
        api.resume();
        api
    }

    /// Like `start`, but does not listen until `resume`.
    pub(crate) fn prepare(name: &str) -> Self {
        let ca_key = KeyPair::generate().expect("a key");
        let mut ca = CertificateParams::new(Vec::new()).expect("parameters");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(ca, ca_key).expect("an authority");
        let key = KeyPair::generate().expect("a key");
        let certificate = CertificateParams::new(vec!["127.0.0.1".into()]).expect("parameters");
        let certificate = certificate.signed_by(&key, &ca).expect("a certificate");
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a key that fits");
        // A port that was free a moment ago, to which the server can return.
        let address = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|l| l.local_addr()).expect("a port");
        let dir = std::env::temp_dir().join(format!("weir-kubernetes-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory");
        fs::write(dir.join("ca.crt"), ca.pem()).expect("write");
        let state = State { token: "secret-1".into(), version: 1000, ..State::default() };
        let api = Self { address, tls: Arc::new(tls), shared: Arc::new(Shared::new(state)), dir };
        api.write_token("secret-1");
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "clusters": [{"name": "test", "cluster": {
                "server": format!("https://{address}"), "certificate-authority": api.dir.join("ca.crt"),
            }}],
            "users": [{"name": "test", "user": {"tokenFile": api.dir.join("token")}}],
        });
        fs::write(api.kubeconfig(), kubeconfig.to_string()).expect("write");
        api
    }

    pub(crate) fn kubeconfig(&self) -> PathBuf {
        self.dir.join("kubeconfig")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The token that a client reads at its next connection.
    pub(crate) fn write_token(&self, token: &str) {
        fs::write(self.dir.join("token"), token).expect("write");
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state()
    }

    /// Listens again at the same address.
    pub(crate) fn resume(&mut self) {
        let listener = TcpListener::bind(self.address).expect("listen");
        self.state().running = true;
        let (shared, tls) = (self.shared.clone(), self.tls.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.expect("accept");
                if !shared.state().running {
                    return;
                }
                shared.state().connections.push(stream.try_clone().expect("clone"));
                let (shared, tls) = (shared.clone(), tls.clone());
                thread::spawn(move || {
                    let tls = ServerConnection::new(tls).expect("a session");
                    // A client may disconnect at any time.
                    let _ = shared.serve(StreamOwned::new(tls, stream));
                });
            }
        });
    }

    /// Cuts all connections, and stops listening.
    pub(crate) fn stop(&mut self) {
        let connections = {
            let mut state = self.state();
            state.running = false;
            std::mem::take(&mut state.connections)
        };
        self.shared.news.notify_all();
        // Wakes the listener's thread, which then ends.
        let _ = TcpStream::connect(self.address);
        for connection in connections {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    /// Cuts all connections.
    pub(crate) fn cut(&mut self) {
        for connection in std::mem::take(&mut self.state().connections) {
            let _ = connection.shutdown(Shutdown::Both);
        }
    }

    pub(crate) fn put(&self, object: Value) {
        self.shared.change(object, false);
    }

    pub(crate) fn delete(&self, object: Value) {
        self.shared.change(object, true);
    }

    /// Like a compaction of etcd: all watches from earlier versions are too old.
    pub(crate) fn compact(&self) {
        let mut state = self.state();
        state.oldest = state.version + 1;
        state.version += 1;
        state.log.clear();
    }

    /// Sends all watches the newest version, as Kubernetes does each minute.
    pub(crate) fn bookmark(&self) {
        let mut state = self.state();
        state.version += 1;
        let version = state.version;
        for (path, kind) in &RESOURCES[..4] {
            let kind = kind.trim_end_matches("List");
            let api = if path.contains("discovery") { "discovery.k8s.io/v1" } else { "v1" };
            let object = json!({"kind": kind, "apiVersion": api, "metadata": {
                "resourceVersion": version.to_string(), "creationTimestamp": null }});
            state.log.push((version, path, "BOOKMARK", object.to_string()));
        }
        drop(state);
        self.shared.news.notify_all();
    }
}

impl Drop for Api {
    fn drop(&mut self) {
        self.stop();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

impl Shared {
    fn new(state: State) -> Self {
        Self { state: Mutex::new(state), news: Condvar::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, mut object: Value, delete: bool) {
        let path = match object["kind"].as_str().expect("a kind") {
            "Node" => RESOURCES[0].0,
            "Pod" => RESOURCES[1].0,
            "Service" => RESOURCES[2].0,
            "EndpointSlice" => RESOURCES[3].0,
            other => panic!("no resource of {other}"),
        };
        let mut state = self.state();
        state.version += 1;
        let version = state.version;
        object["metadata"]["resourceVersion"] = version.to_string().into();
        let uid = object["metadata"]["uid"].as_str().expect("a uid").to_owned();
        let text = object.to_string();
        let known = if delete {
            state.objects.remove(&(path, uid)).is_some()
        } else {
            state.objects.insert((path, uid), text.clone()).is_some()
        };
        let kind = match (delete, known) {
            (true, _) => "DELETED",
            (false, true) => "MODIFIED",
            (false, false) => "ADDED",
        };
        state.log.push((version, path, kind, text));
        drop(state);
        self.news.notify_all();
    }

    fn serve(&self, stream: Stream) -> std::io::Result<()> {
        let mut stream = BufReader::new(stream);
        while let Some(request) = read_request(&mut stream)? {
            let answer = {
                let mut state = self.state();
                let parameters = request.parameters.iter().map(|(name, value)| format!("{name}={value}"));
                let line = format!("{}?{}", request.path, parameters.collect::<Vec<_>>().join("&"));
                state.requests.push(line);
                state.answer(&request)
            };
            let out = stream.get_mut();
            match answer {
                Some((status, body)) => {
                    let length = body.len();
                    write!(
                        out,
                        "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
                    )?;
                    out.write_all(body.as_bytes())?;
                    out.flush()?;
                }
                None => {
                    self.state().watches += 1;
                    let outcome = self.watch(&request, out);
                    self.state().watches -= 1;
                    return outcome;
                }
            }
        }
        Ok(())
    }

    /// Sends changes, one line in one chunk, until the time that the client asked for.
    fn watch(&self, request: &Request, out: &mut Stream) -> std::io::Result<()> {
        out.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        out.flush()?;
        let mut from: u64 = request.parameters["resourceVersion"].parse().expect("a version");
        let mut state = self.state();
        while state.running {
            let mut lines = String::new();
            if let Some(nonsense) = state.nonsense {
                lines = format!("{nonsense}\n");
            } else if from < state.oldest {
                let gone = status(410, "Expired", &format!("too old resource version: {from} ({})", state.oldest));
                lines = format!("{{\"type\":\"ERROR\",\"object\":{gone}}}\n");
            } else {
                for (version, path, kind, object) in &state.log {
                    if *version > from && resource(path) == resource(&request.path) {
                        writeln!(lines, "{{\"type\":\"{kind}\",\"object\":{object}}}").expect("write");
                    }
                }
                from = from.max(state.version);
            }
            if lines.is_empty() {
                state =
                    self.news.wait_timeout(state, Duration::from_millis(100)).unwrap_or_else(PoisonError::into_inner).0;
                if has_gone(out) {
                    return Ok(());
                }
                continue;
            }
            let over = lines.contains("\"ERROR\"") || state.nonsense.is_some();
            drop(state);
            write!(out, "{:x}\r\n{lines}\r\n", lines.len())?;
            if over {
                out.write_all(b"0\r\n\r\n")?;
                out.flush()?;
                return Ok(());
            }
            out.flush()?;
            state = self.state();
            state.bookmarks += usize::from(lines.contains("BOOKMARK"));
        }
        Ok(())
    }
}

/// Whether the client has closed the connection.
fn has_gone(stream: &mut Stream) -> bool {
    stream.sock.set_nonblocking(true).expect("a mode");
    let read = stream.read(&mut [0]);
    stream.sock.set_nonblocking(false).expect("a mode");
    !matches!(read, Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// `None` if the client has disconnected.
fn read_request(stream: &mut BufReader<impl Read>) -> std::io::Result<Option<Request>> {
    let mut line = String::new();
    if stream.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let target = line.split(' ').nth(1).expect("a target").to_owned();
    assert!(line.starts_with("GET "), "weir only reads: {line}");
    let mut token = None;
    loop {
        line.clear();
        stream.read_line(&mut line)?;
        let header = line.trim_end();
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(": ").expect("a header");
        if name.eq_ignore_ascii_case("authorization") {
            token = value.strip_prefix("Bearer ").map(Into::into);
        }
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let parameters = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    Ok(Some(Request { path: path.to_owned(), parameters, token }))
}
