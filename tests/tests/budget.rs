//! No program grows unnoticed.

use weir_tests::{
    budget::{Budget, Measured},
    lab, weir,
};

#[test]
fn every_program_keeps_to_its_budget() {
    let _lab = lab!();
    let output = weir::run(&["doctor", "-o", "json"]);
    let measured = Measured::of_doctor(&String::from_utf8_lossy(&output.stdout)).expect("the programs' sizes");
    let budget = Budget::read().expect("the budget");
    let comparison = budget.compare(&measured);
    println!("{comparison}");
    let findings = comparison.findings();
    assert!(findings.is_empty(), "agree with `cargo xtask budget --write`, or shrink it:\n{}", findings.join("\n"));
}
