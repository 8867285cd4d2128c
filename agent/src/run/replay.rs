//! A recording as the source: the same inputs, as fast as the sinks take their updates.

use std::{path::Path, process::ExitCode};

use anyhow::Result;
use weir_engine::Gaps;
use weir_signals::{Pipeline, Wanted};

use crate::sink::{Delivery, Sink, Sinks};

pub(super) fn run(file: &Path, wanted: Wanted, sinks: Vec<Box<dyn Sink>>) -> Result<ExitCode> {
    let mut pipeline = Pipeline::new(wanted);
    let mut sinks = Sinks::start(sinks, Delivery::Wait)?;
    let played = weir_recording::play(file, &mut |input| {
        if let Some(update) = pipeline.take(input) {
            sinks.deliver(update);
        }
    });
    if played.is_err() {
        sinks.close();
        return played.map(|()| ExitCode::FAILURE);
    }
    let last = pipeline.finish();
    let Gaps { count, inputs } = last.gaps;
    sinks.deliver(last);
    sinks.wait()?;
    if count > 0 {
        eprintln!(
            "weir: the recording has {count} gaps, of {inputs} inputs that were not written in time: a window of \
             everything covers what follows the last one"
        );
    }
    Ok(ExitCode::SUCCESS)
}
