//! A number with its unit.

use std::fmt;

use crate::report::defect::Defect;

/// The unit of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Measure {
    /// A part of a whole, 0 to 1; shown in percent.
    Ratio,
    /// A duration.
    Seconds,
    /// An amount of data.
    Bytes,
    /// A ratio of two values: 2 is twice as much.
    Times,
    /// A number of these: "connects".
    Count(&'static str),
    /// These per second: "calls/s".
    Rate(&'static str),
}

impl Measure {
    /// The unit's name in documents.
    pub fn unit(self) -> &'static str {
        match self {
            Self::Ratio => "ratio",
            Self::Seconds => "s",
            Self::Bytes => "bytes",
            Self::Times => "times",
            Self::Count(what) | Self::Rate(what) => what,
        }
    }
}

/// A finite number and its unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quantity {
    value: f64,
    measure: Measure,
}

impl Quantity {
    /// A number with its unit.
    ///
    /// # Errors
    /// When it is not finite, or its unit has no name.
    pub fn new(value: f64, measure: Measure) -> Result<Self, Defect> {
        if !(value * 100.0).is_finite() {
            return Err(Defect::NotANumber);
        }
        if measure.unit().trim().is_empty() {
            return Err(Defect::NoUnit);
        }
        Ok(Self { value, measure })
    }

    /// The number.
    pub fn value(self) -> f64 {
        self.value
    }

    /// Its unit.
    pub fn measure(self) -> Measure {
        self.measure
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.measure {
            Measure::Ratio => write!(f, "{}%", Digits(self.value * 100.0)),
            Measure::Seconds => scaled(f, self.value, &[(1.0, " s"), (1e-3, " ms"), (1e-6, " us")]),
            Measure::Bytes => scaled(
                f,
                self.value,
                &[(1_073_741_824.0, " GiB"), (1_048_576.0, " MiB"), (1024.0, " KiB"), (1.0, " B")],
            ),
            Measure::Times => write!(f, "{}x", Digits(self.value)),
            Measure::Count(what) | Measure::Rate(what) => write!(f, "{} {what}", Digits(self.value)),
        }
    }
}

/// In the largest unit that is not above the value; 0 in the unit with scale 1.
fn scaled(f: &mut fmt::Formatter<'_>, value: f64, units: &[(f64, &str)]) -> fmt::Result {
    let whole = units.iter().find(|(scale, _)| *scale == 1.0);
    let fitting = units.iter().find(|(scale, _)| value.abs() >= *scale).or(units.last());
    let (scale, name) = if value == 0.0 { whole } else { fitting }.copied().unwrap_or((1.0, ""));
    write!(f, "{}{name}", Digits(value / scale))
}

/// Three significant digits; very large and very small numbers with an exponent.
struct Digits(f64);

impl fmt::Display for Digits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let x = self.0;
        let decimals = match x.abs() {
            a if a >= 1e9 || (a > 0.0 && a < 1e-3) => return write!(f, "{x:.2e}"),
            a if a >= 100.0 || a == a.trunc() => 0,
            a if a >= 10.0 => 1,
            a if a >= 1.0 => 2,
            _ => 3,
        };
        let text = format!("{x:.decimals$}");
        f.write_str(if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantities_are_readable() {
        for (value, measure, text) in [
            (0.98765, Measure::Ratio, "98.8%"),
            (1.0, Measure::Ratio, "100%"),
            (0.0002, Measure::Ratio, "0.02%"),
            (0.0, Measure::Seconds, "0 s"),
            (0.0123, Measure::Seconds, "12.3 ms"),
            (0.000_005, Measure::Seconds, "5 us"),
            (90.0, Measure::Seconds, "90 s"),
            (1536.0, Measure::Bytes, "1.5 KiB"),
            (0.0, Measure::Bytes, "0 B"),
            (12.0, Measure::Count("connects"), "12 connects"),
            (0.25, Measure::Rate("calls/s"), "0.25 calls/s"),
            (3.9, Measure::Times, "3.9x"),
            (1e12, Measure::Count("x"), "1.00e12 x"),
        ] {
            assert_eq!(Quantity::new(value, measure).map(|q| q.to_string()), Ok(text.into()));
        }
    }

    #[test]
    fn a_quantity_is_finite_and_has_a_unit() {
        for value in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert_eq!(Quantity::new(value, Measure::Seconds), Err(Defect::NotANumber));
        }
        assert_eq!(Quantity::new(1.0, Measure::Count(" ")), Err(Defect::NoUnit));
    }

    proptest! {
        #[test]
        fn any_number_fits_in_a_few_characters(value in any::<f64>()) {
            for measure in [Measure::Ratio, Measure::Seconds, Measure::Bytes, Measure::Times, Measure::Count("c")] {
                if let Ok(quantity) = Quantity::new(value, measure) {
                    let text = quantity.to_string();
                    prop_assert!(text.len() <= 16 && text.chars().any(|c| c.is_ascii_digit()), "{text}");
                }
            }
        }
    }
}
