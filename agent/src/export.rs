//! From a snapshot to text. Exporters read the snapshot and nothing else.

mod degraded;
mod document;
mod facts;
mod graph;
mod json;
mod known;
pub(crate) mod select;
mod table;

use std::io::{BufWriter, Write as _};

use anyhow::Result;
use weir_engine::Snapshot;

use crate::cli::Format;
use select::{Filter, SortKey};

/// Which edges, in which order.
pub(crate) struct View {
    sort: SortKey,
    filters: Vec<Filter>,
}

impl View {
    pub(crate) fn new(sort: SortKey, filters: Vec<Filter>) -> Self {
        Self { sort, filters }
    }
}

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
    pub(crate) fn write(&self, snapshot: &Snapshot) -> Result<()> {
        let edges = select::select(&snapshot.edges, &self.view.filters, self.view.sort);
        let document = document::Document { snapshot, edges: &edges };
        let mut out = BufWriter::new(std::io::stdout().lock());
        match self.format {
            Format::Table if self.live => table::redraw(&mut out, snapshot, &edges)?,
            Format::Table => table::write(&mut out, snapshot, &edges, table::Size::unlimited())?,
            Format::Json => {
                serde_json::to_writer_pretty(&mut out, &document)?;
                out.write_all(b"\n")?;
            }
            Format::Jsonl => {
                serde_json::to_writer(&mut out, &document)?;
                out.write_all(b"\n")?;
            }
            Format::Dot => graph::dot(&mut out, snapshot, &edges)?,
            Format::Mermaid => graph::mermaid(&mut out, snapshot, &edges)?,
        }
        out.flush()?;
        Ok(())
    }
}
