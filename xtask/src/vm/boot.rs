//! One guest, from power on to power off.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use weir_vm_init::{Outcome, PORT, Report};

use crate::arch::Arch;
use crate::command::{command, describe};

use super::kernel::Kernel;

/// What came of a guest.
pub(crate) struct Guest {
    pub(crate) kernel: Kernel,
    pub(crate) reports: Vec<Report>,
    /// What the kernel, the first process and qemu said beside.
    pub(crate) console: PathBuf,
    /// From power on to power off.
    pub(crate) seconds: f64,
}

/// Boots `kernel` with `memory_disk` and listens until it is off, or says nothing for `silence`.
pub(crate) fn boot(kernel: &Kernel, memory_disk: &Path, dir: &Path, silence: Duration) -> Result<Guest> {
    let console = dir.join("console.log");
    let errors = dir.join("qemu.log");
    let mut qemu = qemu(kernel, memory_disk, &console)?;
    fs::write(dir.join("command"), describe(&qemu) + "\n").context("cannot write qemu's command")?;
    let errors = File::create(&errors).with_context(|| format!("cannot create {}", errors.display()))?;
    qemu.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(errors);
    let start = Instant::now();
    let mut child = Running(
        qemu.spawn().with_context(|| format!("cannot run {:?}: `cargo xtask setup --vm`", qemu.get_program()))?,
    );
    let (sender, lines) = mpsc::channel();
    let stdout = child.0.stdout.take().context("qemu's output")?;
    let reader = thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    let mut reports = Vec::new();
    let mut kept = File::create(dir.join("reports.jsonl")).context("cannot create reports.jsonl")?;
    // Ends with the channel, when qemu does, or with silence.
    while let Ok(line) = lines.recv_timeout(silence) {
        // For a look at the reports before the end.
        writeln!(kept, "{line}").context("cannot write reports.jsonl")?;
        match serde_json::from_str::<Report>(&line) {
            Ok(report) => {
                show(kernel, &report);
                reports.push(report);
            }
            Err(error) => reports.push(Report::Wrong { what: format!("a report that is none ({error}): {line}") }),
        }
    }
    drop(child);
    // The pipe has ended with qemu.
    let _ = reader.join();
    Ok(Guest { kernel: kernel.clone(), reports, console, seconds: start.elapsed().as_secs_f64() })
}

/// A line of progress for what takes time or is not well.
fn show(kernel: &Kernel, report: &Report) {
    let line = match report {
        Report::Booted { release, uptime_s, .. } => format!("{release} is up after {uptime_s:.1} s"),
        Report::Wrong { what } => what.clone(),
        Report::Doctor { status: Some(0), .. } => "doctor: weir can run".into(),
        Report::Doctor { status, .. } => format!("doctor: weir cannot run ({status:?})"),
        Report::Test { test, outcome, why, seconds, .. } => match outcome {
            Outcome::Passed => format!("ok      {test} {seconds:.1} s"),
            Outcome::Failed => format!("FAILED  {test} {seconds:.1} s"),
            Outcome::Skipped => format!("skipped {test}: {why}"),
            Outcome::LeftOut => return,
        },
        Report::Began { .. } => return,
        Report::Done { uptime_s } => format!("done after {uptime_s:.1} s"),
    };
    eprintln!("[{} {}] {line}", kernel.series, kernel.arch.name());
}

fn qemu(kernel: &Kernel, memory_disk: &Path, console: &Path) -> Result<Command> {
    let (program, machine, tty) = match kernel.arch {
        Arch::X86_64 => ("qemu-system-x86_64", "q35", "ttyS0"),
        Arch::Aarch64 => ("qemu-system-aarch64", "virt", "ttyAMA0"),
    };
    // A guest ends with the process that started it, however that ends.
    let mut qemu = command("setpriv");
    qemu.args(["--pdeathsig", "KILL", program]);
    // Emulated processors take their time to wake each other: with two of them everything takes twice as long as with one.
    let emulated = is_emulated(kernel.arch);
    if !emulated {
        qemu.args(["-accel", "kvm"]);
    }
    // Last: also where KVM cannot be had after all.
    qemu.args(["-accel", "tcg", "-machine", machine, "-cpu", cpu(kernel.arch)]);
    qemu.args(["-smp", if emulated { "1" } else { "2" }, "-m", "1024"]);
    qemu.args(["-nodefaults", "-nographic", "-no-reboot"]);
    qemu.arg("-serial").arg(format!("file:{}", console.display()));
    // Reports have a port of their own: on the console they would mix with the kernel's messages.
    qemu.args(["-device", "virtio-serial-pci", "-chardev", "file,id=reports,path=/dev/stdout"]);
    qemu.arg("-device").arg(format!("virtserialport,chardev=reports,name={PORT}"));
    qemu.arg("-kernel").arg(kernel.image()?).arg("-initrd").arg(memory_disk);
    // A kernel that panics ends at once. Mitigations cost an emulator time and protect nothing in it.
    qemu.arg("-append").arg(format!("console={tty} quiet panic=-1 mitigations=off rdinit=/weir-vm/init"));
    Ok(qemu)
}

/// Whether there is no KVM for this architecture here. Where an x86 processor does not say that it can, /dev/kvm may still
/// be there and be opened, and then boots nothing.
pub(crate) fn is_emulated(arch: Arch) -> bool {
    let processors = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = processors.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    let can = arch != Arch::X86_64 || flags.split(' ').any(|flag| ["vmx", "svm"].contains(&flag));
    let kvm = File::options().read(true).write(true).open("/dev/kvm").is_ok();
    arch.name() != std::env::consts::ARCH || !can || !kvm
}

/// All that the emulator, or the processor, can do, but what costs an emulator more than it gives: copying by byte, page
/// tables of five levels, the true cipher of arm64's pointer authentication. A quarter of the time.
fn cpu(arch: Arch) -> &'static str {
    match arch {
        Arch::X86_64 => "max,erms=off,fsrm=off,la57=off",
        Arch::Aarch64 => "max,pauth-impdef=on",
    }
}

/// A qemu that ends with its reader, also one that hangs.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
