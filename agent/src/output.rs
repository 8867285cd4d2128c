//! Standard output.

use std::io::{BufWriter, stdout};

use anyhow::Result;
use rustix::termios::tcgetwinsize;
use weir_engine::Snapshot;
use weir_export::{Format, Size, View};

/// Where snapshots go.
pub(crate) struct Output {
    format: Format,
    view: View,
    /// Redraw the screen instead of appending.
    live: bool,
}

impl Output {
    pub(crate) fn new(format: Format, view: View, live: bool) -> Self {
        Self { format, view, live }
    }

    /// Writes one snapshot.
    pub(crate) fn write(&self, snapshot: Snapshot) -> Result<()> {
        let screen = self.live.then(screen);
        Ok(self.view.write(self.format, snapshot, &mut BufWriter::new(stdout().lock()), screen)?)
    }
}

fn screen() -> Size {
    match tcgetwinsize(rustix::stdio::stdout()) {
        Ok(size) if size.ws_col > 0 => Size { columns: size.ws_col.into(), rows: size.ws_row.into() },
        _ => Size { columns: 120, rows: 40 },
    }
}
