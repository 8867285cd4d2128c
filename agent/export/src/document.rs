//! The JSON document (docs/edges.md). Its fields are the catalog's; names are a contract, frozen by a test.

use serde::{Serialize, Serializer, ser::SerializeMap};
use weir_engine::{
    Edge, Snapshot,
    catalog::{EDGE, Field, SNAPSHOT},
};

use super::{
    Shown,
    fields::{json, object},
    group::Grouped,
    json::{Json, Object},
};

/// The document of what is shown. An edge becomes JSON when its turn to be written comes: a thousand of them at once would
/// take 20 MiB.
pub(super) struct Document<'a>(pub(super) &'a Shown<'a>);

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let Shown { snapshot, edges, groups } = self.0;
        let mut map = to.serialize_map(None)?;
        for Field { about, read } in SNAPSHOT {
            match (about.name, read(snapshot)) {
                ("edges", _) => map.serialize_entry(about.name, &Edges { snapshot, edges })?,
                ("groups", _) => map.serialize_entry(about.name, &groups_of(groups))?,
                (name, value) => write(&mut map, &Object::new().maybe(name, json(about, value, snapshot)))?,
            }
        }
        map.end()
    }
}

/// A field, with its reason where it is null.
fn write<M: SerializeMap>(map: &mut M, object: &Object) -> Result<(), M::Error> {
    object.fields().try_for_each(|(name, value)| map.serialize_entry(name, value))
}

struct Edges<'a> {
    snapshot: &'a Snapshot,
    edges: &'a [&'a Edge],
}

impl Serialize for Edges<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.edges.iter().map(|edge| object(EDGE, *edge, self.snapshot)))
    }
}

/// The catalog's `GROUP`: counted while the rules were applied.
fn groups_of(groups: &[Grouped]) -> Vec<Json> {
    let group = |Grouped { name, rule, ends }: &Grouped| {
        Object::new().with("name", &**name).with("rule", rule.as_str()).with("ends", *ends).into()
    };
    groups.iter().map(group).collect()
}
