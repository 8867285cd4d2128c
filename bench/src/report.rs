//! Results for readers: on a terminal, in the documents, as plots.

pub(crate) mod markdown;
pub(crate) mod plot;
mod svg;
pub(crate) mod targets;
pub(crate) mod terminal;

use crate::statistics::Spread;

/// A number with its thousands apart.
fn number(value: f64, digits: usize) -> String {
    let text = format!("{:.digits$}", value.abs());
    let (whole, rest) = text.split_once('.').map_or((text.as_str(), String::new()), |(w, r)| (w, format!(".{r}")));
    let mut grouped = String::new();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    let zero = text.chars().all(|c| c == '0' || c == '.');
    format!("{}{grouped}{rest}", if value < 0.0 && !zero { "-" } else { "" })
}

/// `median [min, max]`.
fn spread(spread: Option<Spread>, digits: usize) -> String {
    let text = |Spread { median, min, max }| {
        format!("{} [{}, {}]", number(median, digits), number(min, digits), number(max, digits))
    };
    spread.map_or_else(|| "-".into(), text)
}

/// `from to to`, or the one value.
fn range((from, to): (u64, u64)) -> String {
    let text = |value: u64| number(value as f64, 0);
    if from == to { text(from) } else { format!("{} to {}", text(from), text(to)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_their_thousands_apart() {
        assert_eq!(number(1_234_567.0, 0), "1,234,567");
        assert_eq!(number(-1234.56, 1), "-1,234.6");
        assert_eq!((number(999.0, 0), number(-0.001, 1)), ("999".into(), "0.0".into()));
        assert_eq!((range((5, 5)), range((1000, 1010))), ("5".into(), "1,000 to 1,010".into()));
    }
}
