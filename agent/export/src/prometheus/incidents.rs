//! Incidents as they stand. Not one series for each: an id or a text as a label would make new series for ever.

use std::{collections::BTreeMap, io};

use weir_signals::{Happened, SIGNALS, Standing};

use super::encode::{Encode, Family, Kind, Labels, Number, single};

/// Writes how many incidents of each signal and severity go on, and what has been judged.
pub(super) fn write(encoder: &mut impl Encode, standing: &Standing) -> io::Result<()> {
    let mut open: BTreeMap<(&str, &str), u64> = SIGNALS.iter().map(|signal| ((signal.name, "critical"), 0)).collect();
    for entry in standing.incidents.iter().filter(|entry| !matches!(entry.event.happened, Happened::Resolved(_))) {
        let document = entry.event.alert.document();
        *open.entry((document.signal, document.severity)).or_default() += 1;
    }
    let none = Labels::default();
    let help = "Incidents that go on, by signal and severity.".into();
    encoder.begin(&Family { name: "weir_incidents_open".into(), help, unit: "", kind: Kind::Gauge })?;
    for ((signal, severity), n) in open {
        let labels = encoder.labels(&[("signal", signal), ("severity", severity)]);
        encoder.number([&labels, &none], Number::Count(n))?;
    }
    encoder.end()?;
    let raised = standing.incidents.len() as u64 + standing.not_kept;
    for (name, help, n) in [
        ("weir_incidents", "Incidents that began since the start.", raised),
        ("weir_windows_judged", "Windows of five seconds that were judged.", standing.windows),
    ] {
        single(encoder, Kind::Counter, name, help, Number::Count(n), &none)?;
    }
    Ok(())
}
