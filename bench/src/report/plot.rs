//! The plots of docs/performance.md.

use super::{
    number,
    svg::{Anchor, Axis, COLOURS, Canvas},
};
use crate::{
    results::{Cell, Results},
    scaling::{Point, Scaling},
    statistics::Spread,
};

const WIDTH: f64 = 860.0;
const LEFT: f64 = 150.0;
const RIGHT: f64 = 30.0;
const TOP: f64 = 78.0;
/// Height of one subject within a row.
const LINE: f64 = 15.0;
const GAP: f64 = 16.0;

/// In the order of `COLOURS`.
const SERIES: [(&str, &str); 6] = [
    ("floor_empty", "empty programs"),
    ("floor_count", "counting programs"),
    ("weir", "weir"),
    ("tcplife", "tcplife"),
    ("tcpstates", "tcpstates"),
    ("bpftrace", "bpftrace count"),
];

/// Every plot there are results for, by file name.
pub(crate) fn all(results: &Results) -> Vec<(&'static str, String)> {
    let requests = ["pair", "redis", "redis_pipeline", "nginx_keepalive", "nginx_close", "pgbench"];
    let bounded = ["redis", "redis_pipeline", "nginx_keepalive", "nginx_close", "pgbench", "bulk"];
    let mut plots = vec![
        (
            "cost.svg",
            Dots {
                title: "Processor time added per unit of work",
                subtitle: "median, and range over the rounds; grey: what two runs without anything differ by",
                axis: "ns, logarithmic; what lies below 10 ns is drawn at 10",
                value: |cell| cell.added_cpu_ns,
                of_again: |again| again.min.abs().max(again.max.abs()),
                bounds: Some((10.0, 1e6)),
            }
            .draw(results, &requests),
        ),
        (
            "throughput.svg",
            Dots {
                title: "Throughput, as a ratio to nothing attached",
                subtitle: "median, and range over the rounds; grey: what two runs without anything differ by",
                axis: "ratio",
                value: |cell| cell.rate_ratio,
                of_again: |again| again.min,
                bounds: None,
            }
            .draw(results, &bounded),
        ),
    ];
    if let Some(Scaling { edges, sockets, rounds }) = &results.scaling {
        let share = |point: &Point| point.agent_cpu_share * 100.0;
        let kernel = |point: &Point| point.kernel_ns_per_round;
        let (cpu, ns) = ("agent CPU, % of one core", "kernel time per round, ns");
        plots.push(("scaling-edges.svg", curves("edges", edges, (cpu, share), (ns, kernel))));
        plots.push(("scaling-sockets.svg", curves("sockets", sockets, (cpu, share), (ns, kernel))));
        plots.push(("scaling-rounds.svg", curves("rounds a second", rounds, (cpu, share), (ns, kernel))));
    }
    plots
}

/// Dots with ranges: a group for each row, a line for each subject.
struct Dots {
    title: &'static str,
    subtitle: &'static str,
    axis: &'static str,
    value: fn(&Cell) -> Option<Spread>,
    /// How far the A/A band reaches.
    of_again: fn(Spread) -> f64,
    /// Of a logarithmic axis; a linear one ends at 1.05.
    bounds: Option<(f64, f64)>,
}

/// A row's name, its subjects by colour, and how far its A/A band reaches.
type Group<'n> = (&'n str, Vec<(usize, Spread)>, Option<f64>);

impl Dots {
    fn draw(&self, results: &Results, rows: &[&str]) -> String {
        let groups: Vec<Group<'_>> = rows
            .iter()
            .filter_map(|name| {
                let row = results.row(name)?;
                let of = |(colour, (subject, _)): (usize, &(&str, &str))| {
                    Some((colour, row.cell(subject).and_then(self.value)?))
                };
                let again = row.cell("again").and_then(self.value).map(self.of_again);
                Some((*name, SERIES.iter().enumerate().filter_map(of).collect(), again))
            })
            .collect();
        let height_of = |lines: usize| lines.max(1) as f64 * LINE + GAP;
        let body: f64 = groups.iter().map(|(_, lines, _)| height_of(lines.len())).sum();
        let mut canvas = Canvas::new(WIDTH, TOP + body + 50.0);
        let across = (LEFT, WIDTH - RIGHT);
        let least = groups.iter().flat_map(|(_, lines, _)| lines).map(|(_, spread)| spread.min);
        let axis = match self.bounds {
            Some(bounds) => Axis::logarithmic(bounds, across),
            None => Axis::linear((least.fold(0.9, f64::min).max(0.0), 1.05), across),
        };
        self.heading(&mut canvas);
        let bottom = TOP + body;
        for tick in axis.ticks() {
            let x = axis.at(tick);
            canvas.line((x, TOP), (x, bottom), "#e4e4e4", 1.0);
            let digits = if self.bounds.is_some() { 0 } else { 2 };
            canvas.text((x, bottom + 18.0), 12.0, Anchor::Middle, &number(tick, digits));
        }
        canvas.text((f64::midpoint(LEFT, WIDTH - RIGHT), bottom + 38.0), 12.0, Anchor::Middle, self.axis);
        let mut y = TOP;
        for (name, lines, again) in &groups {
            let height = height_of(lines.len());
            if let Some(again) = again {
                let from = axis.at(if self.bounds.is_some() { 0.0 } else { 1.0 });
                canvas.line(
                    (from, y + height / 2.0),
                    (axis.at(*again), y + height / 2.0),
                    "#eeeeee",
                    height - GAP / 2.0,
                );
            }
            canvas.text((LEFT - 12.0, y + height / 2.0 + 4.0), 13.0, Anchor::End, name);
            for (index, (colour, spread)) in lines.iter().enumerate() {
                let at = y + GAP / 2.0 + (index as f64 + 0.5) * LINE;
                let colour = COLOURS[*colour];
                canvas.line((axis.at(spread.min), at), (axis.at(spread.max), at), colour, 2.0);
                canvas.dot((axis.at(spread.median), at), 4.5, colour);
            }
            y += height;
            canvas.line((LEFT, y), (WIDTH - RIGHT, y), "#c8c8c8", 1.0);
        }
        canvas.finish()
    }

    fn heading(&self, canvas: &mut Canvas) {
        canvas.text((20.0, 24.0), 16.0, Anchor::Start, self.title);
        canvas.text((20.0, 42.0), 11.5, Anchor::Start, self.subtitle);
        let mut x = 24.0;
        for ((_, label), colour) in SERIES.iter().zip(COLOURS) {
            canvas.dot((x, 59.0), 4.5, colour);
            canvas.text((x + 9.0, 63.0), 12.0, Anchor::Start, label);
            x += 34.0 + label.len() as f64 * 6.8;
        }
    }
}

type Reading<'l> = (&'l str, fn(&Point) -> f64);

/// Two readings over one quantity, one above the other: they share no unit.
fn curves(quantity: &str, points: &[Point], upper: Reading<'_>, lower: Reading<'_>) -> String {
    const PANEL: f64 = 200.0;
    let mut canvas = Canvas::new(WIDTH, 2.0 * PANEL + 160.0);
    canvas.text((20.0, 26.0), 16.0, Anchor::Start, &format!("Cost by {quantity}"));
    let xs = || points.iter().map(|point| point.x);
    // A rate that was all but reached should not open another power of ten.
    let bounds = ((xs().fold(f64::INFINITY, f64::min) * 1.02).max(1.0), xs().fold(1.0, f64::max));
    let across = Axis::logarithmic(bounds, (80.0, WIDTH - RIGHT));
    for ((label, value), top) in [(upper, 50.0), (lower, 80.0 + PANEL)] {
        let greatest = points.iter().map(value).fold(0.0, f64::max);
        let up = Axis::linear((0.0, if greatest > 0.0 { greatest * 1.15 } else { 1.0 }), (top + PANEL, top));
        let digits = if greatest < 1.0 { 2 } else { usize::from(greatest < 10.0) };
        for tick in up.ticks() {
            canvas.line((80.0, up.at(tick)), (WIDTH - RIGHT, up.at(tick)), "#e4e4e4", 1.0);
            canvas.text((72.0, up.at(tick) + 4.0), 12.0, Anchor::End, &number(tick, digits));
        }
        for tick in across.ticks() {
            canvas.line((across.at(tick), top), (across.at(tick), top + PANEL), "#e4e4e4", 1.0);
        }
        canvas.upright((22.0, top + PANEL / 2.0), 12.0, label);
        let places: Vec<(f64, f64)> = points.iter().map(|point| (across.at(point.x), up.at(value(point)))).collect();
        for pair in places.windows(2) {
            canvas.line(pair[0], pair[1], COLOURS[2], 2.0);
        }
        for place in places {
            canvas.dot(place, 4.5, COLOURS[2]);
        }
    }
    let bottom = 80.0 + 2.0 * PANEL;
    for tick in across.ticks() {
        canvas.text((across.at(tick), bottom + 18.0), 12.0, Anchor::Middle, &number(tick, 0));
    }
    let middle = f64::midpoint(80.0, WIDTH - RIGHT);
    canvas.text((middle, bottom + 42.0), 12.0, Anchor::Middle, &format!("{quantity}, logarithmic"));
    canvas.finish()
}
