//! The signals, by what they are about: pools, calls, queues, limits.

pub(crate) mod edge;
pub(crate) mod ends;
pub(crate) mod frame;
pub(crate) mod pool;
pub(crate) mod queue;
pub(crate) mod resource;

/// What every signal is written with.
pub(crate) mod prelude {
    pub(crate) use crate::{
        driver::{
            Detector,
            baselines::{Baselines, Learn},
            grouped, worst,
        },
        facts::{Facts, Inputs, edges::EdgeFacts},
        finding::Finding,
        incident::severity::{Effect, Level, Resource, Severity},
        learn::{
            proportion::{MIN_EVENTS, Proportion},
            subjects::Subjects,
        },
        report::{
            Report,
            contract::{Confidence, Origin, Place, RuledOut, What, Where, Why},
            defect::Defect,
            evidence::Evidence,
            quantity::{Measure, Quantity},
        },
        rules::Rules,
        signal::{
            ends::Ends,
            frame::{Parts, Sample, callee, caller, classes, count},
        },
        subject::Subject,
    };
}
