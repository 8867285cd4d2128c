//! Option values shared by the commands.

use std::{io::IsTerminal as _, time::Duration};

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use weir_export::{Format, select::SortKey};
use weir_names::kubernetes::{Config, Mode};
use weir_signals::Learning;

use crate::{
    probe::load::Limits,
    run::{Observation, Until},
};

/// Parses one of a table's values by its name; `--help` lists the names with what they mean.
pub(crate) fn choice<T: Copy + Send + Sync + 'static>(
    all: &'static [(T, &'static str, &'static str)],
) -> impl TypedValueParser<Value = T> {
    let values = all.iter().map(|(_, name, help)| PossibleValue::new(*name).help(*help));
    PossibleValuesParser::new(values).try_map(|typed| {
        let found = all.iter().find(|(_, name, _)| *name == typed);
        found.map(|(value, ..)| *value).ok_or("unknown value")
    })
}

/// What suits stdout when nothing was asked for: a table for people, lines for pipes.
pub(crate) fn format_for_stdout() -> Format {
    if std::io::stdout().is_terminal() { Format::Table } else { Format::Jsonl }
}

/// How much the kernel half may hold.
#[derive(Clone, Debug, clap::Args)]
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
    #[command(flatten)]
    pub(crate) refuse: RefuseArgs,
}

/// For tests of how weir does with less than the kernel it runs on.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct RefuseArgs {
    /// Do as if the kernel refused this probe (`sk_data_ready`) or this one entry (`fexit tcp_sendmsg`)
    #[arg(long, value_name = "PROBE", hide = true)]
    pub(crate) refuse_probe: Vec<String>,
}

impl LimitArgs {
    pub(crate) fn limits(&self) -> Limits {
        Limits { edges: self.max_edges, sockets: self.max_sockets, kernel_log: self.kernel_log, ..Limits::default() }
    }
}

/// What weir itself may use. Over it, weir does less, in steps that every output names, and comes back by itself.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(crate) struct BudgetArgs {
    /// Keep weir, its kernel programs included, within this share of one core, such as 1% [default: no limit]
    #[arg(long, value_name = "SHARE", value_parser = share)]
    cpu_budget: Option<f64>,
    /// Keep weir's memory, maps and sockets' records included, within this size, such as 64MiB [default: no limit]
    #[arg(long, value_name = "SIZE", value_parser = size)]
    memory_limit: Option<u64>,
}

impl BudgetArgs {
    pub(crate) fn limits(self) -> weir_engine::Limits {
        weir_engine::Limits { cpu_share: self.cpu_budget, memory_bytes: self.memory_limit }
    }
}

/// Where names of the cluster come from.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ClusterArgs {
    /// The Kubernetes cluster whose names to use: `auto` (what KUBECONFIG names, else the cluster whose pod weir is, else
    /// none), `off`, or the path of a kubeconfig file
    #[arg(long, value_name = "CLUSTER", default_value = "auto")]
    kubernetes: String,
    /// This machine's name in the cluster [default: NODE_NAME, else the node with this machine's boot id]
    #[arg(long, value_name = "NAME")]
    node_name: Option<String>,
}

impl ClusterArgs {
    pub(crate) fn config(self) -> Config {
        let mode = match &*self.kubernetes {
            "auto" => Mode::Auto,
            "off" => Mode::Off,
            path => Mode::Kubeconfig(path.into()),
        };
        let node_name = self.node_name.or_else(|| std::env::var("NODE_NAME").ok()).filter(|name| !name.is_empty());
        Config { mode, node_name, ..Config::default() }
    }
}

/// How to observe: the same for every command that does.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ObserverArgs {
    #[command(flatten)]
    limits: LimitArgs,
    #[command(flatten)]
    cluster: ClusterArgs,
    #[command(flatten)]
    budget: BudgetArgs,
}

impl ObserverArgs {
    /// An observation with these, and without polls.
    pub(crate) fn observation(self, until: Until) -> Observation {
        let Self { limits, cluster, budget } = self;
        Observation {
            limits: limits.limits(),
            refuse: limits.refuse.refuse_probe,
            until,
            stats: false,
            cluster: cluster.config(),
            polls: false,
            budget: budget.limits(),
        }
    }
}

/// `--learn`.
pub(crate) fn learning(time: Duration) -> Learning {
    Learning::of(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX))
}

/// What to show, and in which order.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ViewArgs {
    /// Order of the edges: the largest first
    #[arg(long, value_name = "COLUMN", value_parser = choice(SortKey::ALL), default_value = "rounds")]
    pub(crate) sort: SortKey,
    /// Only what matches: `nginx` (a name or address on either end), `client=curl`, `server=postgres`, `pid=812`,
    /// `port=5432`, `address=10.0.0.0/8`. May be repeated: an edge must match all
    #[arg(long, value_name = "EXPR")]
    pub(crate) filter: Vec<weir_export::select::Filter>,
    /// Put what matches together to one service: `payments=container:pay-*,namespace:shop`. The fields are kind, name,
    /// namespace, workload, container, image, unit, dns_name (with * and ?) and address (a network, `10.0.0.0/8`); all
    /// must match. May be repeated: the first that matches holds
    #[arg(long = "group", value_name = "RULE")]
    pub(crate) groups: Vec<weir_export::group::Rule>,
    /// A file of such rules, one a line, looked at after those of `--group`; lines that begin with # are left out
    #[arg(long, value_name = "FILE", value_parser = weir_export::group::Rules::read)]
    pub(crate) group_file: Option<weir_export::group::Rules>,
    /// Show processes and addresses instead of the services that they make up
    #[arg(long)]
    pub(crate) instances: bool,
}

impl ViewArgs {
    pub(crate) fn view(self) -> weir_export::View {
        let rules = self.groups.into_iter().chain(self.group_file.unwrap_or_default().0).collect();
        weir_export::View::new(self.sort, self.filter, rules, self.instances)
    }
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

/// `1%`, `0.5%`: of one core.
fn share(text: &str) -> Result<f64, String> {
    let percent = text.strip_suffix('%').and_then(|number| number.parse::<f64>().ok());
    match percent {
        Some(percent) if (0.0001..=10_000.0).contains(&percent) => Ok(percent / 100.0),
        Some(_) => Err("a share of one core must lie between 0.0001% and 10000%".to_owned()),
        None => Err("no share of one core: use a number and %, as in 1%".to_owned()),
    }
}

/// `64MiB`, `1.5GiB`, `65536KiB`, or bytes as a plain number.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let bytes = match unit {
        "" | "B" => 1.0,
        "K" | "KiB" => 1024.0,
        "M" | "MiB" => 1_048_576.0,
        "G" | "GiB" => 1_073_741_824.0,
        _ => return Err(format!("{unit:?} is no unit of size: use KiB, MiB or GiB, as in 64MiB")),
    };
    let number: f64 = number.parse().map_err(|_| "no size: use a number and a unit, as in 64MiB".to_owned())?;
    let total = number * bytes;
    if !(1_048_576.0..=1e15).contains(&total) {
        return Err("weir takes a MiB at the very least".to_owned());
    }
    Ok(total as u64)
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

    #[test]
    fn shares_and_sizes_as_people_write_them() {
        assert_eq!((share("1%"), share("0.5%")), (Ok(0.01), Ok(0.005)));
        assert_eq!((size("64MiB"), size("1.5G")), (Ok(64 << 20), Ok(3 << 29)));
        for bad in ["1", "%", "-1%", "0%", "x%", "NaN%"] {
            assert!(share(bad).is_err(), "{bad}");
        }
        for bad in ["", "MiB", "64MB", "12", "-1MiB", "1e9GiB"] {
            assert!(size(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text: String) {
            let _ = share(&text);
            let _ = size(&text);
            let _ = duration(&text);
        }
    }
}
