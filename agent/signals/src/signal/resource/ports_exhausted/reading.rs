//! What a window says of an edge's local ports.

use std::net::SocketAddr;

use crate::signal::prelude::*;
use weir_engine::{PortUse, Process};

/// So many connects without a port are no accident. A choice: EADDRNOTAVAIL is proof by itself, and one may be a probe.
const MIN_FAILED: u64 = 3;
/// Ports are nearly used up. A choice.
pub(super) const NEARLY: f64 = 0.8;
/// And are not any more. A choice.
const CLEAR: f64 = 0.6;

/// What clients of an edge did, and how many ports they have.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reading<'a> {
    /// Connects that found no local address and port.
    pub(super) failed: u64,
    pub(super) connected: u64,
    pub(super) closed: u64,
    /// Connects that failed, but not for want of a port.
    pub(super) failed_there: u64,
    pub(super) to: SocketAddr,
    pub(super) client: Option<&'a Process>,
    /// Ports that there are; none where that was not polled.
    pub(super) available: Option<u32>,
    /// Sockets of this address, and those whose ports cannot be had; none where there are few.
    pub(super) taken: Option<(PortUse, u32)>,
}

classes! {
    /// Why connects find no port.
    pub(super) enum Class {
        /// There is none.
        Used = "ports used",
        /// There are some: the address that the socket is bound to is not this host's.
        AddressNotLocal = "address not local",
        /// It is not known how many there are, or some connects find one.
        Unclear = "unclear",
    }
}

impl Reading<'_> {
    /// Together with another instance's: the worse one is where to look.
    #[must_use]
    pub(super) fn and(self, other: Self) -> Self {
        let worse = if (other.failed, other.share()) > (self.failed, self.share()) { other } else { self };
        Self {
            failed: self.failed.saturating_add(other.failed),
            connected: self.connected.saturating_add(other.connected),
            closed: self.closed.saturating_add(other.closed),
            failed_there: self.failed_there.saturating_add(other.failed_there),
            ..worse
        }
    }

    /// All connects.
    pub(super) fn attempts(&self) -> u64 {
        self.failed.saturating_add(self.connected).saturating_add(self.failed_there)
    }

    /// The part of the ports that cannot be had.
    pub(super) fn share(&self) -> f64 {
        let taken = self.taken.map_or(0, |(_, taken)| taken);
        f64::from(taken) / f64::from(self.available.unwrap_or(u32::MAX).max(1))
    }

    /// The part of all sockets to there that are in TIME_WAIT.
    pub(super) fn waiting(&self) -> f64 {
        self.taken.map_or(0.0, |(tuple, _)| f64::from(tuple.time_wait) / f64::from(tuple.sockets.max(1)))
    }

    /// Something is wrong, or may be soon.
    pub(super) fn is_suspect(&self) -> bool {
        self.failed > 0 || self.share() >= CLEAR
    }

    pub(super) fn class(&self) -> Class {
        let all = self.taken.map_or(0.0, |(tuple, _)| f64::from(tuple.sockets));
        let used = all / f64::from(self.available.unwrap_or(u32::MAX).max(1));
        match self.available {
            Some(_) if used >= NEARLY => Class::Used,
            // Where one connect succeeds the address is there.
            Some(_) if self.connected == 0 && used < NEARLY / 2.0 => Class::AddressNotLocal,
            _ => Class::Unclear,
        }
    }

    pub(super) fn finding(&self) -> Finding {
        if self.failed >= MIN_FAILED {
            let level = if self.class() == Class::Used { Level::Critical } else { Level::Warn };
            return Finding::Proven(Severity::of(level, Some(Resource::Limit), Some(Effect::Refused)));
        }
        if self.share() >= NEARLY {
            return Finding::Raise(Severity::Warn);
        }
        if self.is_suspect() { Finding::Between } else { Finding::Clear }
    }
}
