//! Which machine and which weir a document or a line is of.

use weir_engine::{
    Machine,
    catalog::{Field, MACHINE, Value},
};

use super::json::{Json, Object};

/// Adds weir's version and the machine's names: an aggregate of many hosts can tell them apart.
pub(super) fn with(object: Object, version: &str, machine: &Machine) -> Object {
    MACHINE.iter().fold(object.with("version", version), |object, Field { about, read }| match read(machine) {
        Value::Text(name) => object.with(about.name, Json::from(name.into_owned())),
        Value::Absent(reason) => object.maybe(about.name, Err::<Json, _>(reason)),
        _ => object,
    })
}
