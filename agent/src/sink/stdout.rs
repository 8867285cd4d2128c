//! Standard output, in the shape of each command.

use std::{
    io::{BufWriter, Write as _, stdout},
    sync::Arc,
    time::Duration,
};

use anyhow::Result;
use rustix::termios::tcgetwinsize;
use weir_export::{
    Format, Size, View,
    explain::{Asked, Picture, Shape},
    signals::{Form, IncidentWriter, summary},
};
use weir_signals::Update;

use super::Sink;

const STDOUT: &str = "standard output";

/// `weir edges`: the live window, or at the end the whole time.
pub(crate) struct EdgeOutput {
    pub(crate) format: Format,
    pub(crate) view: View,
    /// Redraw the screen instead of appending.
    pub(crate) redraws: bool,
}

impl Sink for EdgeOutput {
    fn name(&self) -> &'static str {
        STDOUT
    }

    fn update(&mut self, update: Update) -> Result<()> {
        let Some(snapshot) = update.live.or(update.total) else { return Ok(()) };
        let snapshot = Arc::unwrap_or_clone(snapshot);
        let screen = self.redraws.then(screen);
        Ok(self.view.write(self.format, snapshot, &mut BufWriter::new(stdout().lock()), screen)?)
    }
}

/// `weir signals`: incidents as they begin, change and end.
pub(crate) struct IncidentOutput(IncidentWriter);

impl IncidentOutput {
    pub(crate) fn new(form: Form) -> Self {
        Self(IncidentWriter::new(form))
    }
}

impl Sink for IncidentOutput {
    fn name(&self) -> &'static str {
        STDOUT
    }

    fn update(&mut self, update: Update) -> Result<()> {
        let Some(standing) = &update.incidents else { return Ok(()) };
        let mut out = BufWriter::new(stdout().lock());
        self.0.update(&mut out, standing)?;
        if update.is_final {
            self.0.finish(&mut out, standing)?;
            eprintln!("weir: {}", summary(standing));
        }
        Ok(())
    }
}

/// `weir explain`: the picture, at the end.
pub(crate) struct ExplainOutput {
    pub(crate) asked: Asked,
    pub(crate) shape: Shape,
    pub(crate) learn: Duration,
}

impl Sink for ExplainOutput {
    fn name(&self) -> &'static str {
        STDOUT
    }

    fn update(&mut self, update: Update) -> Result<()> {
        let (Some(snapshot), Some(standing)) = (&update.total, &update.incidents) else { return Ok(()) };
        let mut out = BufWriter::new(stdout().lock());
        Picture::of(&self.asked, snapshot, standing, self.learn)?.write(&mut out, self.shape)?;
        Ok(out.flush()?)
    }
}

fn screen() -> Size {
    match tcgetwinsize(rustix::stdio::stdout()) {
        Ok(size) if size.ws_col > 0 => Size { columns: size.ws_col.into(), rows: size.ws_row.into() },
        _ => Size { columns: 120, rows: 40 },
    }
}
