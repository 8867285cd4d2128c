//! What is attached while a workload runs.

pub(crate) mod floor;
pub(crate) mod foreign;
pub(crate) mod tool;
pub(crate) mod weir;

use anyhow::Result;

use floor::Floor;
use tool::{Tool, ToolRun};
use weir::{Mode, WeirRun};

/// One column of the bench.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// The reference.
    Nothing,
    /// Nothing once more: its difference from the reference is what the bench cannot resolve.
    Again,
    /// weir, all of it.
    Weir,
    /// Empty programs on weir's hooks.
    FloorEmpty,
    /// Programs with one per-CPU counter on weir's hooks.
    FloorCount,
    /// Another tool.
    Tool(Tool),
}

/// All subjects, in the order of the report.
pub(crate) const SUBJECTS: [Subject; 8] = [
    Subject::Nothing,
    Subject::Again,
    Subject::FloorEmpty,
    Subject::FloorCount,
    Subject::Weir,
    Subject::Tool(Tool::Tcplife),
    Subject::Tool(Tool::Tcpstates),
    Subject::Tool(Tool::Bpftrace),
];

impl Subject {
    /// As it is named on the command line and in results.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Nothing => "nothing",
            Self::Again => "again",
            Self::Weir => "weir",
            Self::FloorEmpty => "floor_empty",
            Self::FloorCount => "floor_count",
            Self::Tool(tool) => tool.name(),
        }
    }

    /// By its name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        SUBJECTS.into_iter().find(|subject| subject.name() == name)
    }

    /// Attaches it; returns when it observes.
    pub(crate) fn start(self, mode: Mode) -> Result<Running> {
        Ok(match self {
            Self::Nothing | Self::Again => Running::Nothing,
            Self::Weir => Running::Weir(WeirRun::start(mode)?),
            Self::FloorEmpty => Running::Floor(Floor::attach("empty")?),
            Self::FloorCount => Running::Floor(Floor::attach("count")?),
            Self::Tool(tool) => Running::Tool(ToolRun::start(tool)?),
        })
    }
}

/// A subject that observes.
pub(crate) enum Running {
    /// Nothing does.
    Nothing,
    /// weir.
    Weir(WeirRun),
    /// Programs of the bench's own.
    Floor(Floor),
    /// Another tool.
    Tool(ToolRun),
}

impl Running {
    /// The process that reads what the programs write, if there is one.
    pub(crate) fn pid(&self) -> Option<u32> {
        match self {
            Self::Nothing | Self::Floor(_) => None,
            Self::Weir(weir) => Some(weir.pid()),
            Self::Tool(tool) => Some(tool.pid()),
        }
    }

    /// Detaches it, and waits until the kernel has freed its programs. Returns weir's documents.
    pub(crate) fn stop(self) -> Result<Vec<serde_json::Value>> {
        let documents = match self {
            Self::Nothing => Vec::new(),
            Self::Weir(weir) => weir.stop()?,
            Self::Floor(floor) => {
                drop(floor);
                Vec::new()
            }
            Self::Tool(tool) => {
                tool.stop();
                Vec::new()
            }
        };
        foreign::wait_until_none()?;
        Ok(documents)
    }
}
