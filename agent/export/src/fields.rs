//! From the catalog's rows to JSON: the same for every object of every document.

use std::borrow::Cow;

use weir_engine::{
    Distribution, LittlesLaw, Snapshot, View,
    catalog::{self, About, Field, Part, Value, rounded},
};

use super::{
    degraded,
    json::{Json, Object},
    known::Known,
};

/// An object with the fields of a table.
pub(super) fn object<T>(fields: &[Field<T>], subject: &T, snapshot: &Snapshot) -> Object {
    extend(Object::new(), fields, subject, snapshot)
}

/// Adds the fields of a table.
fn extend<T>(object: Object, fields: &[Field<T>], subject: &T, snapshot: &Snapshot) -> Object {
    fields
        .iter()
        .fold(object, |object, Field { about, read }| object.maybe(about.name, json(about, read(subject), snapshot)))
}

/// A field's value, or the reason why it is null.
pub(super) fn json<'a>(about: &About, value: Value<'a>, snapshot: &Snapshot) -> Result<Json, Cow<'a, str>> {
    if let Some(reason) = Known(snapshot).missing(about) {
        return Err(reason.into());
    }
    Ok(match value {
        Value::Absent(reason) => return Err(reason.into()),
        // Where arrivals were not timed all the window, the waits that there are would mislead.
        Value::Distribution(..) if Known(snapshot).lacks_arrivals(about) => return Err(degraded::QUEUE_WAIT_OFF.into()),
        Value::Distribution(times, nothing) => distribution(times).ok_or(nothing)?.into(),
        Value::Count(value) => value.into(),
        Value::Number(value) => value.into(),
        Value::Text(value) => value.into_owned().into(),
        Value::Flag(value) => value.into(),
        Value::Counts(counts) => {
            counts.into_iter().fold(Object::new(), |object, (name, count)| object.with(name, count)).into()
        }
        Value::Part(part) => part_of(part, snapshot).into(),
        Value::List(values) => {
            // Items have no reason of their own.
            values.into_iter().map(|item| json(about, item, snapshot).unwrap_or(Json::Null)).collect::<Vec<_>>().into()
        }
        Value::NotApplicable | Value::OfTheWriter => Json::Null,
    })
}

fn part_of(part: Part<'_>, snapshot: &Snapshot) -> Object {
    match part {
        Part::Losses(losses) => object(catalog::LOSSES, losses, snapshot),
        Part::Coverage(coverage) => object(catalog::COVERAGE, coverage, snapshot),
        Part::Naming(naming) => object(catalog::NAMING, naming, snapshot),
        Part::Unavailable(source) => object(catalog::UNAVAILABLE, source, snapshot),
        Part::Degraded(degradation) => object(catalog::DEGRADED, degradation, snapshot),
        Part::Cost(of) => object(catalog::COST, of, snapshot),
        Part::Program(program) => object(catalog::PROGRAM, program, snapshot),
        Part::Probe(probe) => object(catalog::PROBE, probe, snapshot),
        Part::AcceptQueue(queue) => object(catalog::ACCEPT_QUEUE, queue, snapshot),
        Part::End(end) => object(catalog::END, end, snapshot),
        Part::Server(edge) => extend(object(catalog::END, &edge.server, snapshot), catalog::SERVER, edge, snapshot),
        Part::ServerProcess(share) => object(catalog::SERVER_PROCESS, share, snapshot),
        Part::Failure(failure) => object(catalog::FAILURE, failure, snapshot),
        Part::Views(edge) => {
            let view = |view: &Result<View, weir_engine::Absent>| match view {
                Ok(view) => Ok(object(catalog::VIEW, view, snapshot)),
                Err(absent) => Err(absent.reason()),
            };
            Object::new().maybe("client", view(&edge.client_view)).maybe("server", view(&edge.server_view))
        }
        Part::View(view) => object(catalog::VIEW, view, snapshot),
        Part::Reused(reused) => object(catalog::REUSED, &reused, snapshot),
        Part::LittlesLaw(view) => law_of(view.littles_law(snapshot.window_ns)),
        Part::Throttle(throttle) => object(catalog::THROTTLE, throttle, snapshot),
        Part::Pressure(cgroup) => object(catalog::PRESSURE, cgroup, snapshot),
    }
}

fn law_of(law: LittlesLaw) -> Object {
    match law {
        LittlesLaw::Holds { concurrency } => {
            Object::new().with("state", "holds").with("concurrency", rounded(concurrency))
        }
        LittlesLaw::Broken { counted, timed } => Object::new()
            .with("state", "broken")
            .with("concurrency_counted", rounded(counted))
            .with("concurrency_timed", rounded(timed)),
        LittlesLaw::CutByWindow => Object::new().with("state", "cut by the window"),
        LittlesLaw::TooFew => Object::new().with("state", "too few rounds"),
    }
}

/// None of nothing.
fn distribution(times: &Distribution) -> Option<Object> {
    let mean = times.mean_s()?;
    let quantile = |q| rounded(times.quantile_s(q).unwrap_or(mean));
    Some(
        Object::new()
            .with("count", times.count)
            .with("mean", rounded(mean))
            .with("p50", quantile(0.5))
            .with("p95", quantile(0.95))
            .with("p99", quantile(0.99)),
    )
}
