//! How weir reports that it does less than it could, to keep its own limits.

use weir_engine::{CPU_STEPS, Degradation, MEMORY_STEPS};

/// Why there is no receive-queue wait.
pub(super) const QUEUE_WAIT_OFF: &str = "switched off to keep the CPU budget";

fn percent(ppm: Option<u32>) -> f64 {
    f64::from(ppm.unwrap_or(0)) / 1e4
}

/// The steps that were taken in one line, for people; none when weir did all it can.
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
