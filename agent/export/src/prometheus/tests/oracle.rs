//! The library as a fourth format: it is given the same families and series, and writes them itself.

use std::{
    io,
    time::{Duration, UNIX_EPOCH},
};

use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeLabel, EncodeLabelSet, LabelSetEncoder, NativeHistogram, NativeHistogramBuckets,
        NoLabelSet, prometheus_protobuf, prometheus_text, text,
    },
    metrics::MetricType,
    registry::{Registry, Unit},
};
use weir_engine::{Distribution, Snapshot};
use weir_signals::Standing;

use super::super::{
    Mode, Prometheus,
    buckets::{Native, SCHEMA, ZERO_THRESHOLD_S, classic},
    encode::{Encode, Family, Kind, Labels, Number},
};
use super::START_UNIX_NS;

/// Families with their series.
#[derive(Debug, Default)]
pub(super) struct Oracle(Vec<(Family, Vec<(Pairs, Sample)>)>);

#[derive(Debug)]
enum Sample {
    Number(Number),
    Histogram(Distribution),
}

#[derive(Debug)]
struct Pairs(Vec<(String, String)>);

/// What is collected, for one format: a collector does not know which one it encodes for.
#[derive(Debug)]
struct For {
    oracle: Oracle,
    /// Classic buckets for every histogram.
    text: bool,
}

impl Oracle {
    pub(super) fn of(mode: Mode, snapshot: &Snapshot) -> Self {
        let mut oracle = Self::default();
        let page = Prometheus::new(mode, 9).select(snapshot.clone());
        page.encode(&mut oracle, Some(&Standing::default())).expect("a vector takes all");
        oracle
    }

    fn registry(self, text: bool) -> Registry {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(For { oracle: self, text }));
        registry
    }

    pub(super) fn text(self) -> String {
        let mut out = String::new();
        prometheus_text::encode(&mut out, &self.registry(true)).expect("text");
        out
    }

    pub(super) fn open_metrics(self) -> String {
        let mut out = String::new();
        text::encode(&mut out, &self.registry(true)).expect("text");
        out
    }

    pub(super) fn protobuf(self) -> Vec<u8> {
        prometheus_protobuf::encode_to_vec(&self.registry(false)).expect("messages")
    }

    fn push(&mut self, labels: [&Labels; 2], sample: Sample) {
        let pairs = labels.iter().flat_map(|labels| pairs(&labels.0)).collect();
        self.0.last_mut().expect("a family").1.push((Pairs(pairs), sample));
    }
}

/// Labels are kept as lines of a name, a tab and a value in hexadecimal.
impl Encode for &mut Oracle {
    fn labels(&self, pairs: &[(&str, &str)]) -> Labels {
        let line = |(name, value): &(&str, &str)| {
            let hex: String = value.bytes().map(|byte| format!("{byte:02x}")).collect();
            format!("{name}\t{hex}\n")
        };
        Labels(pairs.iter().filter(|(_, value)| !value.is_empty()).map(line).collect::<String>().into_bytes())
    }

    fn begin(&mut self, family: &Family) -> io::Result<()> {
        self.0.push((family.clone(), Vec::new()));
        Ok(())
    }

    fn number(&mut self, labels: [&Labels; 2], value: Number) -> io::Result<()> {
        self.push(labels, Sample::Number(value));
        Ok(())
    }

    fn histogram(&mut self, labels: [&Labels; 2], times: &Distribution) -> io::Result<()> {
        self.push(labels, Sample::Histogram(times.clone()));
        Ok(())
    }

    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn pairs(labels: &[u8]) -> Vec<(String, String)> {
    let text = str::from_utf8(labels).expect("text");
    let pair = |line: &str| {
        let (name, hex) = line.split_once('\t').expect("a pair");
        let digits: Vec<char> = hex.chars().collect();
        let byte = |two: &[char]| u8::from_str_radix(&two.iter().collect::<String>(), 16).expect("hexadecimal");
        let value = digits.chunks(2).map(byte).collect();
        (name.to_owned(), String::from_utf8(value).expect("text"))
    };
    text.lines().map(pair).collect()
}

impl EncodeLabelSet for Pairs {
    fn encode(&self, encoder: &mut LabelSetEncoder) -> Result<(), std::fmt::Error> {
        self.0.iter().try_for_each(|(name, value)| (name.as_str(), value.as_str()).encode(encoder.encode_label()))
    }
}

impl Collector for For {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        for (Family { name, help, unit, kind }, series) in &self.oracle.0 {
            let metric_type = match kind {
                Kind::Counter => MetricType::Counter,
                Kind::Gauge => MetricType::Gauge,
                Kind::Histogram | Kind::ClassicHistogram => MetricType::Histogram,
            };
            // The library adds the unit to the name.
            let base = name.strip_suffix(unit).and_then(|name| name.strip_suffix('_')).filter(|_| !unit.is_empty());
            let unit = base.map(|_| Unit::Other((*unit).to_owned()));
            let mut family = encoder.encode_descriptor(base.unwrap_or(name), help, unit.as_ref(), metric_type)?;
            for (pairs, sample) in series {
                let mut metric = family.encode_family(pairs)?;
                match sample {
                    Sample::Number(Number::Count(n)) if *kind == Kind::Counter => {
                        metric.encode_counter::<NoLabelSet, u64, f64>(n, None)?;
                    }
                    Sample::Number(number) if *kind == Kind::Counter => {
                        metric.encode_counter::<NoLabelSet, f64, f64>(&number.real(), None)?;
                    }
                    Sample::Number(Number::Count(n)) => metric.encode_gauge(n)?,
                    Sample::Number(Number::Real(value)) => metric.encode_gauge(value)?,
                    Sample::Histogram(times) => {
                        let sum_s = times.sum_ns as f64 / 1e9;
                        if self.text || *kind == Kind::ClassicHistogram {
                            metric.encode_histogram::<NoLabelSet>(sum_s, times.count, &own_counts(times), None)?;
                            continue;
                        }
                        let native = Native::of(times);
                        metric.encode_histogram_with_native::<NoLabelSet>(
                            sum_s,
                            times.count,
                            &[],
                            None,
                            NativeHistogram {
                                schema: SCHEMA,
                                zero_threshold: ZERO_THRESHOLD_S,
                                zero_count: native.zero_count,
                                negative: NativeHistogramBuckets { spans: &[], deltas: &[] },
                                positive: NativeHistogramBuckets { spans: &native.spans, deltas: &native.deltas },
                                created: Some(UNIX_EPOCH + Duration::from_nanos(START_UNIX_NS)),
                            },
                        )?;
                    }
                }
            }
        }
        Ok(())
    }
}

/// The library adds the counts up itself.
fn own_counts(times: &Distribution) -> Vec<(f64, u64)> {
    let mut below = 0;
    let buckets = classic(times).chain([(f64::INFINITY, times.count)]);
    buckets.map(|(upper, cumulative)| (upper, cumulative - std::mem::replace(&mut below, cumulative))).collect()
}
