//! From the catalog's rows to families: the same for every table.

use std::io;

use weir_engine::{
    Snapshot,
    catalog::{self, About, Field, Unit, Value},
};

use super::encode::{Encode, Family, Kind, Labels, Number};
use crate::known::Known;

/// What every histogram's HELP ends in.
const LAST_BUCKET: &str = "What took longer than 64 s is in the last bucket";

/// Writes a family for each wanted field of a table that is a number, with a series for each item that has it. What is null has no
/// series: absent is not zero.
pub(super) fn table<T>(
    encoder: &mut impl Encode,
    subject: &str,
    fields: &[Field<T>],
    wanted: impl Fn(&About) -> bool,
    items: &[(&T, Labels)],
    snapshot: &Snapshot,
) -> io::Result<()> {
    let (known, none) = (Known(snapshot), Labels::default());
    for Field { about, read } in fields.iter().filter(|field| wanted(&field.about)) {
        let Some(family) = family(about, subject) else { continue };
        if items.is_empty() || !known.is_whole(about) {
            continue;
        }
        encoder.begin(&family)?;
        // Values of the label that separates counters, made once.
        let mut separate: Vec<(String, Labels)> = Vec::new();
        for (item, labels) in items {
            match read(item) {
                Value::Count(n) => encoder.number([labels, &none], Number::Count(n))?,
                Value::Number(value) => encoder.number([labels, &none], Number::Real(value))?,
                Value::Flag(value) => encoder.number([labels, &none], Number::Count(value.into()))?,
                Value::Distribution(times, _) => encoder.histogram([labels, &none], times)?,
                Value::Counts(counts) => {
                    let by = about.by.map_or("", |label| label.name);
                    for (name, n) in counts {
                        let place = separate.iter().position(|(made, _)| made == name).unwrap_or_else(|| {
                            separate.push((name.to_owned(), encoder.labels(&[(by, name)])));
                            separate.len() - 1
                        });
                        encoder.number([labels, &separate[place].1], Number::Count(n))?;
                    }
                }
                // No number, or none now.
                Value::Text(_)
                | Value::Part(_)
                | Value::List(_)
                | Value::NotApplicable
                | Value::Absent(_)
                | Value::OfTheWriter => {}
            }
        }
        encoder.end()?;
    }
    Ok(())
}

/// The family of a field; none of what is no number.
pub(super) fn family(about: &About, subject: &str) -> Option<Family> {
    let kind = match about.kind {
        catalog::Kind::Counter | catalog::Kind::Counters => Kind::Counter,
        catalog::Kind::Gauge | catalog::Kind::Flag => Kind::Gauge,
        catalog::Kind::Histogram => Kind::Histogram,
        catalog::Kind::Label
        | catalog::Kind::Id
        | catalog::Kind::Name
        | catalog::Kind::Object
        | catalog::Kind::List => return None,
    };
    let name = about.metric(subject);
    let name = name.strip_suffix("_total").unwrap_or(&name).to_owned();
    let unit = if name.ends_with(about.unit.name()) { about.unit.name() } else { Unit::None.name() };
    let mut help = sentence(about.help);
    if kind == Kind::Histogram {
        help = format!("{help} {LAST_BUCKET}.");
    }
    Some(Family { name, help, unit, kind })
}

/// A row's help as a sentence, without the links that the documents have.
pub(super) fn sentence(help: &str) -> String {
    let mut text = String::new();
    let mut rest = help;
    while let Some((before, link)) = rest.split_once(" ([") {
        text.push_str(before);
        rest = link.split_once("))").map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    let text = text.replace('`', "'");
    let mut letters = text.chars();
    let first = letters.next().map(|first| first.to_uppercase().to_string()).unwrap_or_default();
    format!("{first}{}.", letters.as_str())
}
