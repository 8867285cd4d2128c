//! Real containers, by podman and by plain runc, with this package's helper inside.

use std::{fs, path::PathBuf, process::Command, thread, time::Duration};

use crate::{
    Lab, Netns, Traffic,
    process::{self, succeed},
};

const PREFIX: &str = "weir-t-";
/// What a container needs on a host without systemd, with its limits as low as a test's own may be: raising them may be
/// denied to podman.
const PODMAN: [&str; 6] = ["--cgroup-manager", "cgroupfs", "--events-backend", "none", "--runtime", "runc"];
const RUN: [&str; 8] = [
    "run",
    "--interactive",
    "--rm",
    "--ulimit",
    "nofile=1024:1024",
    "--ulimit",
    "nproc=4096:4096",
    "--log-driver=none",
];

/// Podman gives a container that does not listen ten seconds to end.
const END: Duration = Duration::from_secs(60);

/// An image with the helper alone; gone on drop with all containers of it.
pub struct Image {
    name: String,
    root: PathBuf,
    helper: String,
}

impl Image {
    /// Imports it.
    ///
    /// # Panics
    /// If podman is not there, or fails.
    pub fn import(lab: &Lab) -> Self {
        let root = lab.path("image");
        let helper = lab.helper().to_str().expect("a path in UTF-8").to_owned();
        let libraries = succeed(Command::new("ldd").arg(&helper));
        let paths = libraries.split_whitespace().filter(|word| word.starts_with('/'));
        for file in paths.chain([helper.as_str()]) {
            let into = root.join(file.trim_start_matches('/'));
            fs::create_dir_all(into.parent().expect("a directory")).expect("directories of the image");
            fs::copy(file, &into).unwrap_or_else(|error| panic!("copy {file}: {error}"));
        }
        for directory in ["proc", "sys", "dev"] {
            fs::create_dir_all(root.join(directory)).expect("directories of the image");
        }
        let archive = lab.path("image.tar");
        succeed(Command::new("tar").arg("-C").arg(&root).arg("-cf").arg(&archive).arg("."));
        // What tests that were killed have left: all of these names are of tests, and only one test
        // at a time uses podman.
        remove_images(&format!("localhost/{PREFIX}*"));
        let name = format!("localhost/{PREFIX}{}:1", std::process::id());
        succeed(podman().arg("import").arg(&archive).arg(&name));
        Self { name, root, helper }
    }

    /// Its name, with the tag.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// A container of this name in a network namespace, running the helper.
    ///
    /// # Panics
    /// If it does not start.
    pub fn run(&self, name: &str, netns: &Netns, arguments: &[&str]) -> Traffic {
        Traffic::of(&mut self.command(name, netns, arguments))
    }

    /// The command that runs such a container to its end.
    pub fn command(&self, name: &str, netns: &Netns, arguments: &[&str]) -> Command {
        let mut command = podman();
        let network = format!("ns:{}", netns.path().display());
        command.args(RUN).args(["--name", name, "--network", &network, &self.name, &self.helper]).args(arguments);
        command
    }

    /// A bundle of this image for plain runc, in a network namespace.
    ///
    /// # Panics
    /// If runc is not there, or fails.
    pub fn bundle(&self, netns: &Netns, arguments: &[&str]) -> Bundle {
        let directory = self.root.parent().expect("the test's directory").join("bundle");
        fs::create_dir_all(&directory).expect("a directory");
        let config = directory.join("config.json");
        let _ = fs::remove_file(&config);
        succeed(Command::new("runc").arg("spec").current_dir(&directory));
        let text = fs::read_to_string(&config).expect("runc's configuration");
        let mut spec: serde_json::Value = serde_json::from_str(&text).expect("runc's configuration");
        let all = [&[self.helper.as_str()], arguments].concat();
        spec["process"]["args"] = all.into();
        spec["process"]["terminal"] = false.into();
        spec["root"]["path"] = self.root.to_str().expect("a path in UTF-8").into();
        let network = serde_json::json!({"type": "network", "path": netns.path()});
        for namespace in spec["linux"]["namespaces"].as_array_mut().expect("namespaces") {
            if namespace["type"] == "network" {
                *namespace = network.clone();
            }
        }
        fs::write(&config, spec.to_string()).expect("write runc's configuration");
        Bundle { directory }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        remove_images(&self.name);
    }
}

/// Removes images whose names match, with their containers. Podman refuses while a container of one is just ending, which
/// takes it some 100 ms after its process is gone.
fn remove_images(pattern: &str) {
    let reference = format!("reference={pattern}");
    for _ in 0..50 {
        let listed = process::output(podman().args(["images", "--quiet", "--filter", &reference]), END);
        let images = String::from_utf8_lossy(&listed.stdout).into_owned();
        if images.trim().is_empty() {
            return;
        }
        process::output(podman().args(["rmi", "--force"]).args(images.split_whitespace()), END);
        thread::sleep(Duration::from_millis(100));
    }
}

/// A filesystem and its configuration, from which runc makes containers.
pub struct Bundle {
    directory: PathBuf,
}

impl Bundle {
    /// The command that runs a container of this name to its end, keeps what runc knows of it.
    pub fn command(&self, name: &str) -> Command {
        let mut command = Command::new("runc");
        command.args(["run", "--keep", "--bundle"]).arg(&self.directory).arg(name);
        command
    }

    /// Removes a container that has ended.
    ///
    /// # Panics
    /// If there is none.
    pub fn remove(&self, name: &str) {
        process::run("runc", &["delete", name]);
    }
}

impl Drop for Bundle {
    fn drop(&mut self) {
        let Ok(entries) = fs::read_dir("/run/runc") else { return };
        let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
        for name in names.filter(|own| own.starts_with(&name(""))) {
            let _ = Command::new("runc").args(["delete", "--force", &name]).status();
        }
    }
}

/// A name for a container that only this test process uses.
pub fn name(of: &str) -> String {
    format!("{PREFIX}{}-{of}", std::process::id())
}

fn podman() -> Command {
    let mut command = Command::new("podman");
    command.args(PODMAN);
    command
}
