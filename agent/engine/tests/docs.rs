//! The tables of fields in the documentation are what the catalog generates. To write them anew, after a change of the catalog:
//!
//! ```text
//! cargo test -p weir-engine --test docs -- --ignored
//! ```

use std::{fmt::Write as _, fs, path::PathBuf};

use weir_engine::catalog::{self, About, Kind, Unit, abouts};

/// Files with tables, each between `<!-- catalog: NAME -->` and `<!-- end -->`.
const FILES: &[&str] = &["docs/edges.md", "docs/explain.md"];

fn fields(name: &str) -> Vec<About> {
    match name {
        "document" => abouts(catalog::SNAPSHOT),
        "losses" => abouts(catalog::LOSSES),
        "coverage" => abouts(catalog::COVERAGE),
        "missing_probes" => abouts(catalog::PROBE),
        "naming" => abouts(catalog::NAMING),
        "naming.unavailable" => abouts(catalog::UNAVAILABLE),
        "degraded" => abouts(catalog::DEGRADED),
        "cost" => abouts(catalog::COST),
        "cost.programs" => abouts(catalog::PROGRAM),
        "accept_queues" => abouts(catalog::ACCEPT_QUEUE),
        "groups" => abouts(catalog::GROUP),
        "edge" => abouts(catalog::EDGE),
        "end" => abouts(catalog::END),
        "server" => abouts(catalog::SERVER),
        "server.processes" => abouts(catalog::SERVER_PROCESS),
        "failure" => abouts(catalog::FAILURE),
        "view" => abouts(catalog::VIEW),
        "reused" => abouts(catalog::REUSED),
        "littles_law" => catalog::LITTLES_LAW.to_vec(),
        "distribution" => catalog::DISTRIBUTION.to_vec(),
        "listeners" => abouts(catalog::LISTENER),
        "processes" => abouts(catalog::PROCESS),
        "cgroups" => abouts(catalog::CGROUP),
        "throttle" => abouts(catalog::THROTTLE),
        "pressure" => abouts(catalog::PRESSURE),
        _ => panic!("no table {name}"),
    }
}

fn table(name: &str) -> String {
    let fields = fields(name);
    if name == "losses" {
        let rows = fields.iter().map(|about| format!("| `{}` | {} | {} |\n", about.name, about.help, about.remedy));
        return format!("| name | what was lost | remedy |\n|---|---|---|\n{}", rows.collect::<String>());
    }
    let sources: Vec<String> = fields.iter().map(source).collect();
    let with_source = sources.iter().any(|source| !source.is_empty());
    let mut text = String::from(if with_source {
        "| field | kind | meaning | source |\n|---|---|---|---|\n"
    } else {
        "| field | kind | meaning |\n|---|---|---|\n"
    });
    for (about, source) in fields.iter().zip(sources) {
        let estimate = if about.sampled { " ~" } else { "" };
        write!(text, "| `{}` | {}{estimate} | {} |", about.name, kind(about), about.help).expect("a string");
        text.push_str(&if with_source { format!(" {source} |\n") } else { "\n".to_owned() });
    }
    text
}

fn kind(about: &About) -> String {
    let kind = match about.kind {
        Kind::Counter => "counter",
        Kind::Counters => "counters",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
        Kind::Label => "text",
        Kind::Id => "number",
        Kind::Name => "name",
        Kind::Flag => "flag",
        Kind::Object => "object",
        Kind::List => "list",
    };
    let unit = match about.unit {
        Unit::None => "",
        Unit::Share => ", share",
        Unit::Seconds => ", seconds",
        Unit::Nanoseconds => ", nanoseconds",
        Unit::Bytes => ", bytes",
    };
    // A histogram is null when nothing was timed, as its row in the prose says.
    let null = if about.nullable && about.kind != Kind::Histogram { ", or null" } else { "" };
    format!("{kind}{unit}{null}")
}

fn source(about: &About) -> String {
    let probes: Vec<String> = about.needs.iter().map(|probe| format!("`{probe}`")).collect();
    if about.source.is_empty() { probes.join(", ") } else { about.source.to_owned() }
}

fn path(file: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(file)
}

/// The same text with its tables made anew.
fn generated(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, marked)) = rest.split_once("<!-- catalog: ") {
        let (name, marked) = marked.split_once(" -->\n").expect("a marker ends its line");
        let (_, after) = marked.split_once("<!-- end -->").expect("a table ends");
        write!(out, "{before}<!-- catalog: {name} -->\n{}<!-- end -->", table(name)).expect("a string");
        rest = after;
    }
    out + rest
}

#[test]
fn tables_of_fields_are_what_the_catalog_generates() {
    for file in FILES {
        let text = fs::read_to_string(path(file)).expect(file);
        assert!(text.contains("<!-- catalog: "), "{file} has no table");
        let same = generated(&text) == text;
        assert!(same, "{file} differs: `cargo test -p weir-engine --test docs -- --ignored` writes it anew");
    }
}

#[test]
#[ignore = "writes to docs/: run it by name after a change of the catalog"]
fn write_tables() {
    for file in FILES {
        let text = fs::read_to_string(path(file)).expect(file);
        fs::write(path(file), generated(&text)).expect(file);
    }
}
