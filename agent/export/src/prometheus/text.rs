//! The text formats: Prometheus' 0.0.4, and OpenMetrics 1.0.

use std::io::{self, Write};

use weir_engine::Distribution;

use super::{
    buckets,
    encode::{Encode, Family, Kind, Labels, Number},
};

/// Writes text.
pub(super) struct Text<W> {
    out: W,
    /// OpenMetrics has units, an end, and a counter's name without `_total` above its series.
    open_metrics: bool,
    /// Of the family's series.
    name: String,
}

impl<W: Write> Text<W> {
    pub(super) fn new(out: W, open_metrics: bool) -> Self {
        Self { out, open_metrics, name: String::new() }
    }

    /// The series' name and labels; `le` is that of a bucket.
    fn series(&mut self, suffix: &str, labels: [&Labels; 2], le: Option<&str>) -> io::Result<()> {
        self.out.write_all(self.name.as_bytes())?;
        self.out.write_all(suffix.as_bytes())?;
        let mut before: &[u8] = b"{";
        for labels in labels.iter().filter(|labels| !labels.0.is_empty()) {
            self.out.write_all(before)?;
            self.out.write_all(&labels.0)?;
            before = b",";
        }
        if let Some(le) = le {
            self.out.write_all(before)?;
            write!(self.out, "le=\"{le}\"")?;
            before = b",";
        }
        self.out.write_all(if before == b"{" { b" " } else { b"} " })
    }

    fn value(&mut self, value: Number) -> io::Result<()> {
        match value {
            Number::Count(n) => self.out.write_all(itoa::Buffer::new().format(n).as_bytes())?,
            Number::Real(value) => self.out.write_all(dtoa::Buffer::new().format(value).as_bytes())?,
        }
        self.out.write_all(b"\n")
    }

    fn bucket(&mut self, labels: [&Labels; 2], le: &str, n: u64) -> io::Result<()> {
        self.series("_bucket", labels, Some(le))?;
        self.value(Number::Count(n))
    }
}

impl<W: Write> Encode for Text<W> {
    fn labels(&self, pairs: &[(&str, &str)]) -> Labels {
        let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
        let pairs: Vec<String> = pairs.map(|(name, value)| format!("{name}=\"{}\"", escaped(value, true))).collect();
        Labels(pairs.join(",").into_bytes())
    }

    fn begin(&mut self, family: &Family) -> io::Result<()> {
        let Family { name, help, unit, kind } = family;
        self.name = family.series_name();
        let announced = if self.open_metrics { name } else { &self.name };
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram | Kind::ClassicHistogram => "histogram",
        };
        writeln!(self.out, "# HELP {announced} {}", escaped(help, self.open_metrics))?;
        writeln!(self.out, "# TYPE {announced} {kind}")?;
        if self.open_metrics && !unit.is_empty() {
            writeln!(self.out, "# UNIT {announced} {unit}")?;
        }
        Ok(())
    }

    fn number(&mut self, labels: [&Labels; 2], value: Number) -> io::Result<()> {
        self.series("", labels, None)?;
        self.value(value)
    }

    fn histogram(&mut self, labels: [&Labels; 2], times: &Distribution) -> io::Result<()> {
        for (upper, n) in buckets::classic(times) {
            let le = if self.open_metrics { format!("{upper:?}") } else { go_float(upper) };
            self.bucket(labels, &le, n)?;
        }
        self.bucket(labels, "+Inf", times.count)?;
        self.series("_sum", labels, None)?;
        self.value(Number::Real(times.sum_ns as f64 / 1e9))?;
        self.series("_count", labels, None)?;
        self.value(Number::Count(times.count))
    }

    fn end(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn finish(&mut self) -> io::Result<()> {
        if self.open_metrics { self.out.write_all(b"# EOF\n") } else { Ok(()) }
    }
}

/// A label's value, or with `quotes` also what stands between quotes.
fn escaped(text: &str, quotes: bool) -> std::borrow::Cow<'_, str> {
    if !text.contains(['\\', '"', '\n']) {
        return text.into();
    }
    let text = text.replace('\\', "\\\\").replace('\n', "\\n");
    if quotes { text.replace('"', "\\\"").into() } else { text.into() }
}

/// As Go's clients write a bucket's boundary (`strconv.FormatFloat(v, 'g', -1, 64)`), so that a series has the same `le` from any
/// exporter. For the boundaries of `buckets::classic`: none is so large that it would need an exponent.
fn go_float(value: f64) -> String {
    if value >= 1e-4 {
        return value.to_string();
    }
    let text = format!("{value:e}");
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    format!("{mantissa}e-{:0>2}", exponent.trim_start_matches('-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boundaries_are_as_go_writes_them() {
        let written = [-14, -13, -1, 0, 3].map(|exponent: i32| go_float(f64::from(exponent).exp2()));
        assert_eq!(written, ["6.103515625e-05", "0.0001220703125", "0.5", "1", "8"]);
    }

    #[test]
    fn values_of_labels_are_escaped() {
        let text = Text::new(Vec::new(), false);
        let labels = text.labels(&[("client", "a\"b\\c\nd"), ("namespace", ""), ("server", "é")]);
        assert_eq!(String::from_utf8(labels.0).expect("text"), "client=\"a\\\"b\\\\c\\nd\",server=\"é\"");
    }
}
