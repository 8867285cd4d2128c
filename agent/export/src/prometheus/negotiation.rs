//! Which format a scraper gets, from its request's headers.

/// A format of the exposition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exposition {
    /// Prometheus' text format, version 0.0.4: what every scraper reads.
    Text,
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// Prometheus' protobuf format: the only one with native histograms.
    Protobuf,
}

impl Exposition {
    /// The best of what an `Accept` header asks for: the highest `q`, and of equals the richest format. Text 0.0.4 where it asks for
    /// nothing that weir has.
    pub fn negotiate(accept: &str) -> Self {
        let offers = accept.split(',').filter_map(Offer::read).filter(|offer| offer.q > 0.0);
        let best = offers.max_by(|a, b| a.q.total_cmp(&b.q).then(a.format.rank().cmp(&b.format.rank())));
        best.map_or(Self::Text, |offer| offer.format)
    }

    /// The `Content-Type` of the answer. Prometheus 3 refuses a scrape without one.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Protobuf => {
                "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
            }
        }
    }

    const fn rank(self) -> u8 {
        match self {
            Self::Text => 0,
            Self::OpenMetrics => 1,
            Self::Protobuf => 2,
        }
    }
}

/// Whether an `Accept-Encoding` header allows gzip.
pub fn accepts_gzip(accept_encoding: &str) -> bool {
    accept_encoding.split(',').any(|one| {
        let mut parts = one.split(';').map(str::trim);
        let coding = parts.next().unwrap_or_default();
        (coding.eq_ignore_ascii_case("gzip") || coding == "*") && quality(parts) > 0.0
    })
}

struct Offer {
    format: Exposition,
    q: f32,
}

impl Offer {
    /// One of the header's media ranges; none where weir has no such format.
    fn read(range: &str) -> Option<Self> {
        let mut parts = range.split(';').map(str::trim);
        let kind = parts.next()?.to_ascii_lowercase();
        let parameters: Vec<&str> = parts.collect();
        let is = |name: &str, values: &[&str]| {
            let given =
                parameters.iter().filter_map(|one| one.split_once('=')).find(|(n, _)| n.eq_ignore_ascii_case(name));
            given.is_none_or(|(_, value)| values.contains(&value.trim_matches('"')))
        };
        let format = match kind.as_str() {
            "application/vnd.google.protobuf"
                if is("proto", &["io.prometheus.client.MetricFamily"]) && is("encoding", &["delimited"]) =>
            {
                Exposition::Protobuf
            }
            "application/openmetrics-text" if is("version", &["1.0.0"]) => Exposition::OpenMetrics,
            // Prometheus 3 also asks for text 1.0.0, which differs only in names that weir does not have.
            "text/plain" | "text/*" | "*/*" => Exposition::Text,
            _ => return None,
        };
        Some(Self { format, q: quality(parameters.into_iter()) })
    }
}

/// The `q` among the parameters; what cannot be read counts as nothing (RFC 9110, 12.4.2: 1 without one).
fn quality<'a>(mut parameters: impl Iterator<Item = &'a str>) -> f32 {
    let q = parameters.find_map(|one| one.strip_prefix("q=").or_else(|| one.strip_prefix("Q=")));
    q.map_or(1.0, |q| q.parse().ok().filter(|q: &f32| (0.0..=1.0).contains(q)).unwrap_or(0.0))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Recorded from Prometheus 3.5.3 with native histograms.
    const PROMETHEUS_NATIVE: &str = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6,\
        application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,\
        text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1";
    /// The same without.
    const PROMETHEUS: &str = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,\
        application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,\
        text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    const VICTORIA_METRICS: &str = "text/plain;version=0.0.4;q=1,*/*;q=0.1";

    #[test]
    fn scrapers_get_the_best_that_they_ask_for() {
        for (accept, expected) in [
            (PROMETHEUS_NATIVE, Exposition::Protobuf),
            (PROMETHEUS, Exposition::OpenMetrics),
            (VICTORIA_METRICS, Exposition::Text),
            ("", Exposition::Text),
            ("*/*", Exposition::Text),
            ("text/html,application/xhtml+xml;q=0.9,*/*;q=0.8", Exposition::Text),
            ("application/json", Exposition::Text),
            ("application/openmetrics-text;version=0.0.1", Exposition::Text),
            ("application/openmetrics-text", Exposition::OpenMetrics),
            ("application/vnd.google.protobuf;proto=other", Exposition::Text),
            ("application/openmetrics-text;q=0,text/plain;q=0.1", Exposition::Text),
            ("application/openmetrics-text;q=x,text/plain;q=0.1", Exposition::Text),
        ] {
            assert_eq!(Exposition::negotiate(accept), expected, "{accept}");
        }
    }

    #[test]
    fn gzip_is_asked_for() {
        for (header, expected) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("*", true),
            ("gzip;q=0", false),
            ("", false),
            ("br", false),
        ] {
            assert_eq!(accepts_gzip(header), expected, "{header}");
        }
    }

    proptest! {
        #[test]
        fn any_header_has_an_answer(header in ".{0,200}") {
            Exposition::negotiate(&header);
            accepts_gzip(&header);
        }
    }
}
