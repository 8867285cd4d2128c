//! From a snapshot to text. Exporters read the snapshot and nothing else.

mod degraded;
mod document;
mod facts;
mod graph;
mod json;
mod known;
mod label;
pub(crate) mod select;
mod table;

use std::io::{BufWriter, Write as _};

use anyhow::Result;
use weir_engine::{Edge, Snapshot};

use crate::cli::Format;
use select::{Filter, SortKey};

/// Which edges, in which order.
pub(crate) struct View {
    sort: SortKey,
    filters: Vec<Filter>,
    /// Processes and addresses instead of services.
    instances: bool,
}

impl View {
    pub(crate) fn new(sort: SortKey, filters: Vec<Filter>, instances: bool) -> Self {
        Self { sort, filters, instances }
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
    pub(crate) fn write(&self, snapshot: Snapshot) -> Result<()> {
        // By instance: a service of many addresses and processes has none of its own to ask for.
        let wanted = |edge: &Edge| self.view.filters.iter().all(|filter| filter.matches(edge));
        let snapshot = &if self.view.instances { snapshot.only(wanted) } else { snapshot.by_service(wanted) };
        let edges = select::sorted(&snapshot.edges, self.view.sort);
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
