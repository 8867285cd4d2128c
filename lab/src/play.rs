//! Plays a scenario: a stage of its own, and a run on it.

use std::panic::{self, AssertUnwindSafe, catch_unwind};

use anyhow::{Context as _, Result, anyhow};

use crate::{
    run::{Pace, Run, end_progress, progress},
    scenario::Scenario,
    stage::Stage,
    store::Kept,
};

/// Runs it and keeps everything; `label` is for progress, such as `F01 seed 2/5`.
pub(crate) fn play(scenario: &'static Scenario, seed: u64, pace: Pace, kept: &Kept, label: &str) -> Result<()> {
    // The servers and namespaces are made for tests and panic when they fail; the error below has the panic's text.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| ()));
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        progress(label, "waiting for the machine");
        let stage = Stage::new(seed, &kept.log())?;
        let mut run = Run::new(&stage, scenario.outline(), scenario.fault_s, pace, kept, label);
        progress(label, "starting servers");
        (scenario.play)(&mut run)
    }));
    panic::set_hook(hook);
    end_progress();
    let why = |panicked: Box<dyn std::any::Any + Send>| {
        let text = panicked.downcast_ref::<String>().cloned();
        text.or_else(|| panicked.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or("unknown".into())
    };
    outcome.unwrap_or_else(|panicked| Err(anyhow!(why(panicked)))).with_context(|| format!("{label} cannot run"))
}
