//! The kernel half's logic as plain Rust: no kernel, no clock, no maps. Time is an argument.
//!
//! These functions are compiled into the probes unchanged and tested natively.

#![cfg_attr(not(test), no_std)]
#![forbid(unsafe_code)]

pub mod fill;
pub mod histogram;
pub mod idle_time;
pub mod pipelining;
pub mod round;
pub mod sampling_hash;
pub mod socket;
pub mod table_slots;

#[cfg(test)]
mod tests {
    use std::{collections::BTreeSet, fs, path::Path};

    use weir_abi::ProbeName;

    #[test]
    fn each_probe_has_its_file() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/probe");
        let stem = |entry: std::io::Result<fs::DirEntry>| {
            entry.expect("an entry").path().file_stem().expect("a name").to_str().expect("UTF-8").to_owned()
        };
        let files: BTreeSet<String> = fs::read_dir(directory).expect("the folder of probes").map(stem).collect();
        let names: BTreeSet<String> = ProbeName::ALL.iter().map(|probe| probe.as_str().to_owned()).collect();
        assert_eq!(files, names);
    }
}
