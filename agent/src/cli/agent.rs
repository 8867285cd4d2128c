//! `weir agent`

use std::{io::IsTerminal as _, net::SocketAddr, process::ExitCode, sync::Arc, time::Duration};

use anyhow::Result;
use weir_engine::Schedule;
use weir_export::{
    prometheus::{Mode, Prometheus},
    signals::Form,
};
use weir_signals::{Deciding, Live, Rules, Wanted};

use super::value::{ObserverArgs, choice, duration, learning};
use crate::{
    run::{Observation, Plan, Source, Until},
    serve::{Latest, Server},
    sink::{IncidentOutput, LatestOutput},
};

/// How often what is served is renewed: with each window that is judged.
const EVERY_NS: u64 = weir_signals::WINDOW_NS;

/// Watch this machine for as long as it runs: metrics for Prometheus, incidents as lines
///
/// Serves `/metrics` (text, OpenMetrics, or protobuf with native histograms, as the scraper asks), `/healthz` and `/readyz` over
/// HTTP, and writes each incident that begins, changes or ends to standard output: as text on a terminal, else as a JSON line.
/// Counters are since the agent's start. One on each host is enough; nothing stays in the kernel after it ends.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Where to serve HTTP; may be repeated [default: 127.0.0.1:9797 and, where there is IPv6, [::1]:9797]
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<SocketAddr>,
    /// How much of each edge is in `/metrics`
    #[arg(long, value_name = "MODE", value_parser = choice(Mode::ALL), default_value = "standard")]
    metrics: Mode,
    /// Edges with series of their own; the rest are one, `other`, and a quarter is kept for edges with failures
    #[arg(long, value_name = "N", default_value_t = Prometheus::MAX_EDGES)]
    metrics_edges: usize,
    /// How long to watch an edge until what is normal for it is known
    #[arg(long, value_name = "TIME", value_parser = duration, default_value = "10m")]
    learn: Duration,
    #[command(flatten)]
    observer: ObserverArgs,
}

const EXAMPLES: &str = "\
Examples:
  weir agent                                          serve on 127.0.0.1:9797
  weir agent --listen 0.0.0.0:9797                    for a Prometheus on another host
  curl -s http://127.0.0.1:9797/metrics | grep weir_edge_rounds_total";

pub(crate) fn run(args: Args) -> Result<ExitCode> {
    let latest = Arc::new(Latest::default());
    // Before the probes: a port that is taken is said at once.
    let server = Server::bind(&args.listen)?;
    let addresses = server.addresses();
    server.start(Arc::clone(&latest), Prometheus::new(args.metrics, args.metrics_edges))?;
    eprintln!("weir: metrics at {}", addresses.join(", "));
    let observation = args.observer.observation(Until::asked(None, Vec::new()));
    let form = if std::io::stdout().is_terminal() { Form::Text } else { Form::Jsonl };
    Plan {
        source: Source::Kernel(Box::new(Observation { polls: true, ..observation })),
        wanted: Wanted {
            live: Some(Live { schedule: Schedule::Whole, every_ns: EVERY_NS }),
            decisions: Some(Deciding { rules: Rules::default(), learning: learning(args.learn) }),
            ..Wanted::default()
        },
        record: None,
        sinks: vec![Box::new(IncidentOutput::new(form)), Box::new(LatestOutput(latest))],
    }
    .run()
}
