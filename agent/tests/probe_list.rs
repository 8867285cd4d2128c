//! What the kernel tests know of the probes is what the table says: they only run the binary, and have a list of their own.

use weir_agent::PROBES;

#[test]
fn the_kernel_tests_know_every_probe() {
    let mut table: Vec<_> = PROBES.iter().map(|probe| (probe.name.as_str(), probe.required, probe.always)).collect();
    let known = weir_tests::probes::PROBES.iter();
    let mut known: Vec<_> = known.map(|probe| (probe.name, probe.required, probe.always)).collect();
    table.sort_unstable();
    known.sort_unstable();
    assert_eq!(known, table, "the list is in tests/src/probes.rs");
}
