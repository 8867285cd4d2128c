//! The first process of a guest: makes it a machine, runs what the plan says, reports, and turns it off.

mod boot;
mod run;

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    thread::sleep,
    time::Duration,
};

use anyhow::{Context as _, Result};
use weir_vm_init::{PLAN, PORT, Plan, Report};

fn main() {
    // Whatever happens, the machine goes off: the host waits for that.
    if let Err(error) = work() {
        eprintln!("weir-vm-init: {error:#}");
    }
    boot::power_off();
}

fn work() -> Result<()> {
    boot::mounts()?;
    let plan = std::fs::read(PLAN).with_context(|| format!("read {PLAN}"))?;
    let plan: Plan = serde_json::from_slice(&plan).context("the plan")?;
    // Modules come first: one of them may drive the port.
    let wrong = boot::modules(&plan.modules);
    let mut reporter = Reporter::open()?;
    let uname = rustix::system::uname();
    let release = uname.release().to_string_lossy().into_owned();
    let machine = uname.machine().to_string_lossy().into_owned();
    reporter.say(&Report::Booted { release: release.clone(), machine, uptime_s: uptime() })?;
    for what in wrong {
        reporter.say(&Report::Wrong { what })?;
    }
    if let Err(error) = boot::network() {
        reporter.say(&Report::Wrong { what: format!("{error:#}") })?;
    }
    if plan.emulated
        && let Err(error) = boot::calm_scheduler()
    {
        reporter.say(&Report::Wrong { what: format!("{error:#}") })?;
    }
    run::run(&plan, &release, &mut reporter)?;
    reporter.say(&Report::Done { uptime_s: uptime() })
}

fn uptime() -> f64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    text.split(' ').next().and_then(|seconds| seconds.parse().ok()).unwrap_or(0.0)
}

/// The port to the host.
struct Reporter(File);

impl Reporter {
    /// The port's device, by the name that the host gave it.
    fn open() -> Result<Self> {
        for _ in 0..100 {
            for entry in std::fs::read_dir("/sys/class/virtio-ports").into_iter().flatten().flatten() {
                let name = std::fs::read_to_string(entry.path().join("name")).unwrap_or_default();
                if name.trim() == PORT {
                    let device = std::path::Path::new("/dev").join(entry.file_name());
                    let file = OpenOptions::new().write(true).open(&device);
                    return Ok(Self(file.with_context(|| format!("open {}", device.display()))?));
                }
            }
            // Drivers find their devices in their own time.
            sleep(Duration::from_millis(50));
        }
        anyhow::bail!("no virtio port {PORT}")
    }

    fn say(&mut self, report: &Report) -> Result<()> {
        let line = serde_json::to_string(report).context("encode a report")? + "\n";
        self.0.write_all(line.as_bytes()).context("report to the host")
    }
}
