//! What is different where the tests run on another machine than a developer's: an emulator, an old kernel. The
//! program that starts the tests there says so in the environment.

use std::{env, time::Duration};

/// How many times slower the machine is: for deadlines and amounts, and for how late a measured time may be. Lower bounds and
/// counts are the same everywhere.
const SLOW: &str = "WEIR_TEST_SLOW";
/// The probes that this kernel is too old for, by commas. All others must be there.
const ABSENT: &str = "WEIR_TEST_ABSENT";

/// How long to wait here for what should happen within `deadline`.
///
/// # Panics
/// If the factor is no number.
pub fn patient(deadline: Duration) -> Duration {
    deadline * slow()
}

/// How much traffic is enough here, where `amount` is on a developer's machine.
///
/// # Panics
/// If the factor is no number.
pub fn enough(amount: u64) -> u64 {
    amount / u64::from(slow())
}

/// Whether starting weir takes seconds here.
pub fn is_slow() -> bool {
    slow() > 1
}

fn slow() -> u32 {
    env::var(SLOW).map_or(1, |factor| factor.parse().unwrap_or_else(|_| panic!("{SLOW}={factor}")))
}

/// The probes that this kernel is too old for.
pub fn absent_probes() -> Vec<String> {
    let names = env::var(ABSENT).unwrap_or_default();
    let mut names: Vec<String> = names.split(',').filter(|name| !name.is_empty()).map(Into::into).collect();
    names.sort();
    names
}

/// Whether the running kernel is older than `version`, such as `5.16`.
pub fn kernel_is_older(version: &str) -> bool {
    weir_vm_init::age::is_older(&rustix::system::uname().release().to_string_lossy(), version)
}
