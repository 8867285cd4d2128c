//! A line for each edge, for spreadsheets and databases: the catalog's fields of an edge and its ends as columns.

use std::io::{self, Write};

use weir_engine::catalog::{About, EDGE, Kind, Unit, abouts};

use super::{
    Shown,
    fields::object,
    json::{Json, Object},
    machine,
};

/// A cell of each line: its name in the header, and the place of its value in an edge's object.
struct Column {
    header: String,
    path: Vec<&'static str>,
}

/// Writes the edges, after a header if this is the `first` window. Lines of several windows are distinguished by the end of
/// their window, the first column. Quoting is that of RFC 4180; lines end in LF, as line tools expect. What is null in the
/// document is an empty cell.
pub(super) fn write(out: &mut impl Write, shown: &Shown<'_>, first: bool) -> io::Result<()> {
    let Shown { snapshot, edges, groups: _ } = shown;
    let columns = columns(&abouts(EDGE));
    let names = || machine::names(&snapshot.version, &snapshot.machine);
    if first {
        let headers = columns.iter().map(|column| column.header.clone());
        let first = ["end_unix_s", "window_s"].into_iter().chain(names().map(|(name, _)| name));
        line(out, first.map(str::to_owned).chain(headers))?;
    }
    let times = [snapshot.end_unix_ns, snapshot.window_ns].map(|ns| (ns as f64 / 1e9).to_string());
    let names = names().map(|(_, value)| value.unwrap_or_default().into_owned());
    let window: Vec<String> = times.into_iter().chain(names).collect();
    for edge in *edges {
        let edge = object(EDGE, *edge, snapshot);
        line(out, window.iter().cloned().chain(columns.iter().map(|column| cell(&edge, &column.path))))?;
    }
    Ok(())
}

/// All fields with one value; those of objects with the object's name before theirs. Lists have no column, and the views of
/// the two ends are in JSON.
fn columns(fields: &[About]) -> Vec<Column> {
    let mut columns = Vec::new();
    for about in fields.iter().filter(|about| about.kind != Kind::List && about.name != "views") {
        let parts = about.parts.map_or_else(Vec::new, |parts| parts());
        let values = about.by.map_or_else(Vec::new, |label| (label.values)());
        let inside = self::columns(&parts).into_iter().map(|part| (part.header, part.path));
        let labelled = values.into_iter().map(|value| (value.to_owned(), vec![value]));
        // `latency_s` and its `p50`, in seconds too, are `latency_p50_s`.
        let (base, unit) = match about.name.strip_suffix("_s") {
            Some(base) if about.kind == Kind::Histogram => (base, "_s"),
            _ => (about.name, ""),
        };
        let inside: Vec<Column> = inside
            .chain(labelled)
            .map(|(header, path)| {
                let in_unit = parts.iter().any(|part| part.name == header && part.unit == Unit::Seconds);
                let unit = if in_unit { unit } else { "" };
                Column { header: format!("{base}_{header}{unit}"), path: [vec![about.name], path].concat() }
            })
            .collect();
        if inside.is_empty() {
            columns.push(Column { header: about.name.to_owned(), path: vec![about.name] });
        }
        columns.extend(inside);
    }
    columns
}

fn cell(object: &Object, path: &[&str]) -> String {
    let Some((name, inside)) = path.split_first() else { return String::new() };
    match object.fields().find(|(field, _)| field == name) {
        Some((_, Json::Object(object))) => cell(object, inside),
        Some((_, Json::Bool(value))) => value.to_string(),
        Some((_, Json::Integer(value))) => value.to_string(),
        Some((_, Json::Number(value))) => value.to_string(),
        Some((_, Json::Text(value))) => value.clone(),
        Some((_, Json::Null | Json::List(_))) | None => String::new(),
    }
}

fn line(out: &mut impl Write, cells: impl Iterator<Item = String>) -> io::Result<()> {
    for (i, cell) in cells.enumerate() {
        let comma = if i == 0 { "" } else { "," };
        write!(out, "{comma}{}", quoted(&cell))?;
    }
    out.write_all(b"\n")
}

/// A cell with a comma, a quote or a line's end in it is between quotes, and its own quotes are doubled (RFC 4180).
fn quoted(cell: &str) -> std::borrow::Cow<'_, str> {
    if cell.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", cell.replace('"', "\"\"")).into()
    } else {
        cell.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_quoted_where_they_must_be() {
        assert_eq!(quoted("nginx"), "nginx");
        assert_eq!(quoted("a,\"b\"\n"), "\"a,\"\"b\"\"\n\"");
    }

    #[test]
    fn headers_have_the_object_the_field_and_its_unit() {
        let headers: Vec<String> = columns(&abouts(EDGE)).into_iter().map(|column| column.header).collect();
        let some = [
            "client_name",
            "server_port",
            "connects_refused",
            "latency_count",
            "latency_p50_s",
            "srtt_s",
            "bytes_sent",
        ];
        for header in some {
            assert!(headers.iter().any(|known| known == header), "no {header}: {headers:?}");
        }
        let mut unique = headers.clone();
        unique.sort();
        unique.dedup();
        assert_eq!(unique.len(), headers.len());
    }

    #[test]
    fn a_null_is_an_empty_cell() {
        let inside = Object::new().with("count", 3u64).with("reason", Json::Null);
        let object = Object::new().with("latency_s", inside);
        assert_eq!(cell(&object, &["latency_s", "count"]), "3");
        assert_eq!(
            (cell(&object, &["latency_s", "reason"]), cell(&object, &["service_s", "count"])),
            Default::default()
        );
    }
}
