//! What the formats have in common: families of series, written one after the other.

use std::io;

use weir_engine::Distribution;

/// What all series of one name share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Family {
    /// The name without a counter's `_total`.
    pub(super) name: String,
    /// One sentence.
    pub(super) help: String,
    /// In base units (`seconds`); empty for a count, and where the name does not end in it.
    pub(super) unit: &'static str,
    pub(super) kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Counter,
    Gauge,
    /// Native where the format has native histograms, classic else.
    Histogram,
    /// Classic in every format: Grafana's service graph asks for `_sum`, which a native histogram does not have.
    ClassicHistogram,
}

/// The value of a counter or a gauge.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Number {
    Count(u64),
    Real(f64),
}

/// Labels in the bytes of one format. An edge's are made once and copied into each of its series: that is where most of the time
/// goes otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Labels(pub(super) Vec<u8>);

/// Writes families in one format.
pub(super) trait Encode {
    /// Labels for `number` and `histogram`; a label whose value is empty is none.
    fn labels(&self, pairs: &[(&str, &str)]) -> Labels;

    /// Begins a family. The one before must have ended.
    fn begin(&mut self, family: &Family) -> io::Result<()>;

    /// A series of a counter or a gauge.
    fn number(&mut self, labels: [&Labels; 2], value: Number) -> io::Result<()>;

    /// A series of a histogram.
    fn histogram(&mut self, labels: [&Labels; 2], times: &Distribution) -> io::Result<()>;

    /// Ends the family.
    fn end(&mut self) -> io::Result<()>;

    /// Ends the exposition.
    fn finish(&mut self) -> io::Result<()>;
}

/// A family with one series.
pub(super) fn single(
    encoder: &mut impl Encode,
    kind: Kind,
    name: &str,
    help: &str,
    value: Number,
    labels: &Labels,
) -> io::Result<()> {
    encoder.begin(&Family { name: name.into(), help: help.into(), unit: "", kind })?;
    encoder.number([labels, &Labels::default()], value)?;
    encoder.end()
}

impl Family {
    /// The name of its series.
    pub(super) fn series_name(&self) -> String {
        let total = if self.kind == Kind::Counter { "_total" } else { "" };
        format!("{}{total}", self.name)
    }
}

impl Number {
    pub(super) fn real(self) -> f64 {
        match self {
            Self::Count(n) => n as f64,
            Self::Real(value) => value,
        }
    }
}
