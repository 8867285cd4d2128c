//! What the missing probes leave unknown: such a field is null and says why, instead of a zero that looks like calm.

use std::borrow::Cow;

use weir_engine::ProbeState;

/// The probes that each group of fields comes from.
pub(super) const ROUNDS: &[&str] = &["sock_send_length", "sock_recv_length"];
pub(super) const SENT: &[&str] = &["sock_send_length"];
pub(super) const RECEIVED: &[&str] = &["sock_recv_length"];
pub(super) const QUEUE_WAIT: &[&str] = &["sk_data_ready", "sock_recv_length"];
pub(super) const RESETS_SENT: &[&str] = &["tcp_send_reset"];
pub(super) const RESETS_RECEIVED: &[&str] = &["tcp_receive_reset"];
pub(super) const RESETS: &[&str] = &["tcp_send_reset", "tcp_receive_reset"];
pub(super) const ERRORS: &[&str] = &["inet_sk_error_report"];

/// Knows which probes are missing.
#[derive(Clone, Copy)]
pub(super) struct Known<'a>(pub(super) &'a [ProbeState]);

impl<'a> Known<'a> {
    /// Whether all of these run.
    pub(super) fn has(self, probes: &[&str]) -> bool {
        self.lacks(probes).is_none()
    }

    /// A value that comes from these probes.
    pub(super) fn of<T>(self, probes: &[&str], value: T) -> Result<T, Cow<'static, str>> {
        self.maybe(probes, Ok(value))
    }

    /// The same for one that may be absent for another reason.
    pub(super) fn maybe<T>(self, probes: &[&str], value: Result<T, &'static str>) -> Result<T, Cow<'static, str>> {
        match self.lacks(probes) {
            Some(probe) => Err(format!("the probe {} is missing: see missing_probes", probe.name).into()),
            None => value.map_err(Cow::Borrowed),
        }
    }

    fn lacks(self, probes: &[&str]) -> Option<&'a ProbeState> {
        self.0.iter().find(|missing| probes.contains(&&*missing.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_probe_takes_its_fields_along_and_no_other() {
        let missing = |name: &str| ProbeState { name: name.into(), missing: Some("x".into()), provides: "y".into() };
        let gone = [missing("sk_data_ready")];
        let known = Known(&gone);
        assert_eq!(known.of(ROUNDS, 3), Ok(3));
        assert_eq!(known.maybe::<u8>(ROUNDS, Err("none")), Err("none".into()));
        let why = known.of(QUEUE_WAIT, 3).expect_err("not known");
        assert_eq!(why, "the probe sk_data_ready is missing: see missing_probes");
        assert!(!known.has(QUEUE_WAIT) && known.has(SENT));
    }
}
