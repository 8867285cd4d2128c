//! BPF programs of others. One more program on a hook makes every program on it more expensive, so a bench beside them would
//! measure something else.

use std::{
    fs,
    time::{Duration, Instant},
};

use anyhow::{Result, bail};
use aya::programs::{ProgramInfo, loaded_programs};
use aya_obj::generated::bpf_prog_type::{
    self, BPF_PROG_TYPE_KPROBE, BPF_PROG_TYPE_LSM, BPF_PROG_TYPE_PERF_EVENT, BPF_PROG_TYPE_RAW_TRACEPOINT,
    BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE, BPF_PROG_TYPE_TRACEPOINT, BPF_PROG_TYPE_TRACING,
};

/// Kinds that can sit on weir's hooks or slow the calls that lead there.
const OBSERVING: [bpf_prog_type; 7] = [
    BPF_PROG_TYPE_KPROBE,
    BPF_PROG_TYPE_LSM,
    BPF_PROG_TYPE_PERF_EVENT,
    BPF_PROG_TYPE_RAW_TRACEPOINT,
    BPF_PROG_TYPE_RAW_TRACEPOINT_WRITABLE,
    BPF_PROG_TYPE_TRACEPOINT,
    BPF_PROG_TYPE_TRACING,
];

/// The kernel frees programs some time after their last descriptor is closed.
const LETS_GO_WITHIN: Duration = Duration::from_secs(5);

/// Every loaded program that observes the kernel. One that goes while we look is gone.
pub(crate) fn observers() -> Vec<ProgramInfo> {
    loaded_programs().flatten().filter(|program| OBSERVING.contains(&program.program_type())).collect()
}

/// Waits until no other program observes.
///
/// # Errors
/// Names the programs that still do.
pub(crate) fn wait_until_none() -> Result<()> {
    let start = Instant::now();
    loop {
        let programs = observers();
        if programs.is_empty() {
            return Ok(());
        }
        if start.elapsed() > LETS_GO_WITHIN {
            let named: Vec<String> = programs.iter().map(describe).collect();
            bail!(
                "other BPF programs observe this kernel, and their cost cannot be separated from that of weir: {}; end what \
                 runs them and repeat (`bpftool prog` lists them)",
                named.join(", ")
            );
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn describe(program: &ProgramInfo) -> String {
    let kind = format!("{:?}", program.program_type());
    let kind = kind.trim_start_matches("BPF_PROG_TYPE_").to_lowercase();
    let holder = holder(program.id()).map_or(String::new(), |holder| format!(", held by {holder}"));
    format!("{} ({kind}, id {}{holder})", program.name_as_str().unwrap_or("unnamed"), program.id())
}

/// Some process that has a descriptor of the program.
fn holder(id: u32) -> Option<String> {
    let wanted = format!("prog_id:\t{id}");
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let Ok(files) = fs::read_dir(process.path().join("fdinfo")) else { continue };
        let holds = |path| fs::read_to_string(path).is_ok_and(|info| info.lines().any(|line| line == wanted));
        if files.flatten().any(|file| holds(file.path())) {
            let comm = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{}[{}]", comm.trim(), process.file_name().to_string_lossy()));
        }
    }
    None
}
