//! Option values shared by the commands.

use std::{io::IsTerminal as _, time::Duration};

use crate::probe::load::Limits;

/// What shape the output has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    /// Columns for people
    Table,
    /// One document, indented
    Json,
    /// One document a line, for pipes and log collectors
    Jsonl,
    /// A Graphviz graph: `| dot -Tsvg`
    Dot,
    /// A Mermaid flowchart, for Markdown
    Mermaid,
}

impl Format {
    /// What suits stdout when nothing was asked for: a table for people, lines for pipes.
    pub(crate) fn for_stdout() -> Self {
        if std::io::stdout().is_terminal() { Self::Table } else { Self::Jsonl }
    }
}

/// How much the kernel half may hold.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct LimitArgs {
    /// Edges with a record of their own; the rest are counted together as `other`
    #[arg(long, value_name = "N", default_value_t = Limits::default().edges,
          value_parser = clap::value_parser!(u32).range(1..=65_536))]
    max_edges: u32,
    /// Sockets with a record of their own; connections beyond are counted, without timing
    #[arg(long, value_name = "N", default_value_t = Limits::default().sockets,
          value_parser = clap::value_parser!(u32).range(1..=1_048_576))]
    max_sockets: u32,
    /// Print the kernel half's decisions (which edges it makes, and why one goes to `other`) on stderr
    #[arg(long)]
    kernel_log: bool,
}

impl LimitArgs {
    pub(crate) fn limits(self) -> Limits {
        Limits { edges: self.max_edges, sockets: self.max_sockets, kernel_log: self.kernel_log }
    }
}

/// What to show, and in which order.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ViewArgs {
    /// Order of the edges: the largest first
    #[arg(long, value_name = "COLUMN", value_enum, default_value = "rounds")]
    pub(crate) sort: crate::export::select::SortKey,
    /// Only edges that match: `nginx` (a name or address on either end), `client=curl`, `server=postgres`, `pid=812`,
    /// `port=5432`, `address=10.0.0.0/8`. May be repeated: an edge must match all
    #[arg(long, value_name = "EXPR")]
    pub(crate) filter: Vec<crate::export::select::Filter>,
}

/// `10s`, `500ms`, `2m`, `1h`, or seconds as a plain number.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let seconds = match unit {
        "ms" => 0.001,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("{unit:?} is no unit of time: use ms, s, m or h, as in 10s")),
    };
    let number: f64 = number.parse().map_err(|_| "not a duration: use a number and a unit, as in 10s".to_owned())?;
    let total = number * seconds;
    if !(0.001..=31_536_000.0).contains(&total) {
        return Err("a duration must lie between 1ms and a year".to_owned());
    }
    Ok(Duration::from_secs_f64(total))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_as_people_write_them() {
        assert_eq!(duration("10s"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1.5m"), Ok(Duration::from_secs(90)));
        for bad in ["", "s", "10x", "-1s", "0", "1e9h", "..s", "99999999h"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            let _ = duration(&text);
        }
    }
}
