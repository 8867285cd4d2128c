//! Which machine and which weir a document or a line is of.

use std::borrow::Cow;

use weir_engine::{
    Machine,
    catalog::{Field, MACHINE, Value},
};

use super::json::Object;

/// Weir's version and the machine's names, or why there is none: an aggregate of many hosts can tell them apart.
pub(super) fn names<'a>(
    version: &'a str,
    machine: &'a Machine,
) -> impl Iterator<Item = (&'static str, Result<Cow<'a, str>, &'a str>)> {
    let of_machine = MACHINE.iter().map(|Field { about, read }| match read(machine) {
        Value::Text(name) => (about.name, Ok(name)),
        Value::Absent(reason) => (about.name, Err(reason)),
        _ => (about.name, Err("no text")),
    });
    [("version", Ok(version.into()))].into_iter().chain(of_machine)
}

/// Adds them.
pub(super) fn with(object: Object, version: &str, machine: &Machine) -> Object {
    names(version, machine).fold(object, |object, (name, value)| object.maybe(name, value.map(Cow::into_owned)))
}
