//! How weir says that it does less than it could, to keep its own limits.

use weir_engine::{CPU_STEPS, Degradation, Degraded, ESTIMATED, MEMORY_STEPS};

use super::json::{Json, Object};

/// Why there is no receive-queue wait.
pub(super) const QUEUE_WAIT_OFF: &str = "switched off to keep the CPU budget";
const NO_CPU_BUDGET: &str = "no --cpu-budget was given";
const NOT_YET: &str = "measured over 5 s, which are not over";
const NO_MEMORY_LIMIT: &str = "no --memory-limit was given";

/// The document's `degraded`.
pub(super) fn object(degradation: &Degradation) -> Object {
    let Degradation { now, worst_cpu_step, worst_memory_step } = *degradation;
    let Degraded { cpu_step, memory_step, cpu_budget_ppm, cpu_ppm, programs_timed, memory_limit_bytes, memory_bytes } =
        now;
    let share = |ppm: u32| f64::from(ppm) / 1e6;
    let unknown = if cpu_budget_ppm.is_none() { NO_CPU_BUDGET } else { NOT_YET };
    Object::new()
        .with("now", cpu_step > 0 || memory_step > 0)
        .with("in_window", worst_cpu_step > 0 || worst_memory_step > 0)
        .with("cpu_step", u32::from(cpu_step))
        .with("cpu_step_worst", u32::from(worst_cpu_step))
        .with("cpu_steps", CPU_STEPS.len() as u64 - 1)
        .maybe("cpu_budget_share", cpu_budget_ppm.map(share).ok_or(NO_CPU_BUDGET))
        .maybe("cpu_share", cpu_ppm.map(share).ok_or(unknown))
        .maybe("cpu_includes_programs", cpu_ppm.map(|_| programs_timed).ok_or(unknown))
        .with("memory_step", u32::from(memory_step))
        .with("memory_step_worst", u32::from(worst_memory_step))
        .with("memory_steps", MEMORY_STEPS.len() as u64 - 1)
        .maybe("memory_limit_bytes", memory_limit_bytes.ok_or(NO_MEMORY_LIMIT))
        .maybe("memory_bytes", memory_limit_bytes.map(|_| memory_bytes).ok_or(NO_MEMORY_LIMIT))
        .with("followed_sockets_1_in", 1u64 << degradation.worst().sampling_shift())
        .with("does", texts(degradation, |step| step.does))
        .with("costs", texts(degradation, |step| step.costs))
}

fn percent(ppm: Option<u32>) -> f64 {
    f64::from(ppm.unwrap_or(0)) / 1e4
}

/// The document's `estimated_fields`: of an edge.
pub(super) fn estimated_fields(degradation: &Degradation) -> Vec<Json> {
    if degradation.estimated() { ESTIMATED.iter().map(|name| (*name).into()).collect() } else { Vec::new() }
}

/// Of every step that was taken in the window, the lowest first.
fn texts(degradation: &Degradation, text: fn(&weir_engine::Step) -> &'static str) -> Vec<Json> {
    steps(degradation)
        .map(text)
        .fold(Vec::new(), |mut texts: Vec<&str>, text| {
            if texts.last() != Some(&text) {
                texts.push(text);
            }
            texts
        })
        .into_iter()
        .map(Json::from)
        .collect()
}

fn steps(degradation: &Degradation) -> impl Iterator<Item = &'static weir_engine::Step> {
    let of = |steps: &'static [weir_engine::Step], worst: u8| steps.iter().skip(1).take(worst.into());
    of(&CPU_STEPS, degradation.worst_cpu_step).chain(of(&MEMORY_STEPS, degradation.worst_memory_step))
}

/// The same in one line, for people; none when weir did all it can.
pub(super) fn line(degradation: &Degradation) -> Option<String> {
    let worst = degradation.worst();
    let mut parts = Vec::new();
    if worst.cpu_step > 0 {
        parts.push(format!(
            "CPU step {} of {} ({:.2}% of one core used, {:.2}% allowed): {}, {}",
            worst.cpu_step,
            CPU_STEPS.len() - 1,
            percent(worst.cpu_ppm),
            percent(worst.cpu_budget_ppm),
            worst.cpu().does,
            worst.cpu().costs,
        ));
    }
    if worst.memory_step > 0 {
        parts.push(format!(
            "memory step {} of {} ({} MiB used, {} MiB allowed): {}, {}",
            worst.memory_step,
            MEMORY_STEPS.len() - 1,
            worst.memory_bytes >> 20,
            worst.memory_limit_bytes.unwrap_or(0) >> 20,
            worst.memory().does,
            worst.memory().costs,
        ));
    }
    (!parts.is_empty()).then(|| format!("DEGRADED: {}", parts.join("; ")))
}
