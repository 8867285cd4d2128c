//! From a snapshot to bytes. Exporters read the snapshot and nothing else.

mod csv;
mod degraded;
mod document;
pub mod explain;
mod fields;
mod graph;
pub mod group;
mod json;
mod known;
mod label;
mod machine;
mod network;
pub mod prometheus;
pub mod select;
pub mod signals;
mod table;

use std::io::{self, Write};

use weir_engine::{Edge, Snapshot};

use group::{Grouped, Rule};
use select::{Filter, SortKey};
pub use table::Size;

/// Which edges, in which order.
pub struct View {
    sort: SortKey,
    filters: Vec<Filter>,
    /// What is put together to services.
    rules: Vec<Rule>,
    /// Processes and addresses instead of services.
    instances: bool,
    /// A window was written: formats with a header have theirs.
    begun: bool,
}

impl View {
    /// A selection. `rules` put instances together to services; `instances` shows processes and addresses.
    pub fn new(sort: SortKey, filters: Vec<Filter>, rules: Vec<Rule>, instances: bool) -> Self {
        Self { sort, filters, rules, instances, begun: false }
    }
}

/// What is written: a snapshot as it was asked for.
struct Shown<'a> {
    snapshot: &'a Snapshot,
    edges: &'a [&'a Edge],
    groups: &'a [Grouped],
}

/// What shape edges have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// Columns for people.
    Table,
    /// One document, indented.
    Json,
    /// One document a line.
    Jsonl,
    /// Lines of comma-separated values.
    Csv,
    /// A Graphviz graph.
    Dot,
    /// A Mermaid flowchart.
    Mermaid,
}

impl Format {
    /// Every format: its name on the command line, and what it is for.
    pub const ALL: &[(Self, &str, &str)] = &[
        (Self::Table, "table", "Columns for people"),
        (Self::Json, "json", "One document, indented"),
        (Self::Jsonl, "jsonl", "One document a line, for pipes and log collectors"),
        (Self::Csv, "csv", "A line for each edge after a header line, for spreadsheets and databases"),
        (Self::Dot, "dot", "A Graphviz graph: `| dot -Tsvg`"),
        (Self::Mermaid, "mermaid", "A Mermaid flowchart, for Markdown"),
    ];
}

impl View {
    /// Writes one snapshot. `screen`: a table replaces what is on a screen of that size.
    ///
    /// # Errors
    /// What the writer returns.
    pub fn write(
        &mut self,
        format: Format,
        mut snapshot: Snapshot,
        out: &mut impl Write,
        screen: Option<Size>,
    ) -> io::Result<()> {
        let groups = &group::group(&mut snapshot, &self.rules);
        // By instance: a service of many addresses and processes has none of its own to ask for.
        let wanted = |edge: &Edge| self.filters.iter().all(|filter| filter.matches(edge));
        let snapshot = &if self.instances { snapshot.only(wanted) } else { snapshot.by_service(wanted) };
        let edges = select::sorted(&snapshot.edges, self.sort);
        let shown = Shown { snapshot, edges: &edges, groups };
        let document = document::Document(&shown);
        match (format, screen) {
            (Format::Table, Some(size)) => table::redraw(out, &shown, size)?,
            (Format::Table, None) => table::write(out, &shown, Size::unlimited())?,
            (Format::Json, _) => {
                serde_json::to_writer_pretty(&mut *out, &document)?;
                out.write_all(b"\n")?;
            }
            (Format::Jsonl, _) => {
                serde_json::to_writer(&mut *out, &document)?;
                out.write_all(b"\n")?;
            }
            (Format::Csv, _) => csv::write(out, &shown, !std::mem::replace(&mut self.begun, true))?,
            (Format::Dot, _) => graph::dot(out, snapshot, &edges)?,
            (Format::Mermaid, _) => graph::mermaid(out, snapshot, &edges)?,
        }
        out.flush()
    }
}
