//! Which probes a kernel is too old for. weir itself asks for features, never for versions; only here, where a test is
//! let off, must a kernel's age be the reason.

use serde_json::Value;

/// A probe that `weir doctor` finds missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// The probe.
    pub probe: String,
    /// What doctor says of it.
    pub cause: String,
    /// The first kernel that has what it needs, where this one is older: then nothing is wrong.
    pub not_before: Option<String>,
}

/// The probes that doctor's document calls missing on the kernel `release`.
pub fn missing(document: &Value, release: &str) -> Vec<Missing> {
    let checks = document["checks"].as_array().map_or(&[][..], Vec::as_slice);
    let of_check = |check: &Value| {
        let probe = check["name"].as_str()?.strip_prefix("probe ")?;
        if check["state"] == "ok" {
            return None;
        }
        let cause = check["cause"].as_str().unwrap_or_default();
        let not_before = since(cause).filter(|since| is_older(release, since)).map(Into::into);
        Some(Missing { probe: probe.into(), cause: cause.into(), not_before })
    };
    checks.iter().filter_map(of_check).collect()
}

/// The version in `... (since 6.3): ...`.
fn since(cause: &str) -> Option<&str> {
    Some(cause.split_once("(since ")?.1.split_once(')')?.0)
}

/// Whether the kernel `release`, such as `6.1.0-56-cloud-amd64`, is older than `version`, such as `6.3`.
pub fn is_older(release: &str, version: &str) -> bool {
    series(release) < series(version)
}

fn series(version: &str) -> (u32, u32) {
    let mut numbers = version.split(|c: char| !c.is_ascii_digit()).map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn versions_compare_as_numbers() {
        assert!(is_older("5.10.0-46-cloud-amd64", "5.14"));
        assert!(is_older("5.10.0-46-cloud-amd64", "6.3"));
        assert!(!is_older("5.10.0-46-cloud-amd64", "5.10"));
        assert!(!is_older("5.10.0-46-cloud-amd64", "5.9"));
        assert!(!is_older("6.12.107+deb13-cloud-amd64", "6.3"));
    }

    #[test]
    fn only_age_excuses_a_missing_probe() {
        let probe = |name: &str, state: &str, cause: &str| json!({"name": name, "state": state, "cause": cause});
        let document = json!({"checks": [
            probe("kernel", "warn", "x"),
            probe("probe a", "ok", "tier T0, tp_btf a: all of it"),
            probe("probe b", "warn", "tier T0, tp_btf b (since 6.3): not in BTF"),
            probe("probe c", "fail", "tier T0, tp_btf c (since 4.16): not in BTF"),
            probe("probe d", "warn", "this kernel's arguments are not (void *)"),
        ]});
        let found = missing(&document, "6.1.0-56");
        let found: Vec<_> = found.iter().map(|m| (m.probe.as_str(), m.not_before.as_deref())).collect();
        assert_eq!(found, [("b", Some("6.3")), ("c", None), ("d", None)]);
        assert_eq!(missing(&document, "6.12.1")[0].not_before, None);
        assert_eq!(missing(&Value::Null, "6.12.1"), []);
    }
}
