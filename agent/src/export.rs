//! From a snapshot to text. Exporters read the snapshot and nothing else.

mod degraded;
mod document;
pub(crate) mod explain;
mod facts;
mod graph;
pub(crate) mod group;
mod json;
mod known;
mod label;
mod network;
mod queues;
pub(crate) mod select;
pub(crate) mod signals;
mod table;

use std::io::{BufWriter, Write as _};

use anyhow::Result;
use weir_engine::{Edge, Snapshot};

use crate::cli::Format;
use group::{Grouped, Rule};
use select::{Filter, SortKey};

/// Which edges, in which order.
pub(crate) struct View {
    sort: SortKey,
    filters: Vec<Filter>,
    /// What is put together to services.
    rules: Vec<Rule>,
    /// Processes and addresses instead of services.
    instances: bool,
}

impl View {
    pub(crate) fn new(sort: SortKey, filters: Vec<Filter>, rules: Vec<Rule>, instances: bool) -> Self {
        Self { sort, filters, rules, instances }
    }
}

/// What is written: a snapshot as it was asked for.
struct Shown<'a> {
    snapshot: &'a Snapshot,
    edges: &'a [&'a Edge],
    groups: &'a [Grouped],
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
    pub(crate) fn write(&self, mut snapshot: Snapshot) -> Result<()> {
        let groups = &group::group(&mut snapshot, &self.view.rules);
        // By instance: a service of many addresses and processes has none of its own to ask for.
        let wanted = |edge: &Edge| self.view.filters.iter().all(|filter| filter.matches(edge));
        let snapshot = &if self.view.instances { snapshot.only(wanted) } else { snapshot.by_service(wanted) };
        let edges = select::sorted(&snapshot.edges, self.view.sort);
        let shown = Shown { snapshot, edges: &edges, groups };
        let document = document::Document(&shown);
        let mut out = BufWriter::new(std::io::stdout().lock());
        match self.format {
            Format::Table if self.live => table::redraw(&mut out, &shown)?,
            Format::Table => table::write(&mut out, &shown, table::Size::unlimited())?,
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
