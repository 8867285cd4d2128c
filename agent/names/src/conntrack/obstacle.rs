//! Why connection tracking could not be queried.

use std::{fmt, io};

/// Why connection tracking could not be queried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Obstacle {
    /// The module is not loaded. A query would load it; weir changes nothing, and looks again later.
    NotLoaded,
    /// The module is loaded, but not its netlink interface.
    NoInterface,
    /// The kernel does not permit queries.
    MayNotAsk,
    /// The kernel does not permit weir to enter other network namespaces.
    MayNotEnter,
    /// The kernel did not answer in time.
    TimedOut,
    /// The answer has an unknown format.
    Garbled,
    /// Another error, by its number.
    Failed(i32),
}

impl Obstacle {
    pub(super) fn of(error: &io::Error) -> Self {
        Self::Failed(error.raw_os_error().unwrap_or(0))
    }

    pub(super) fn encode(self) -> u64 {
        match self {
            Self::NotLoaded => 1,
            Self::NoInterface => 2,
            Self::MayNotAsk => 3,
            Self::MayNotEnter => 4,
            Self::TimedOut => 5,
            Self::Garbled => 6,
            Self::Failed(errno) => 7 | u64::from(errno as u32) << 32,
        }
    }

    pub(super) fn decode(code: u64) -> Option<Self> {
        match code as u32 {
            1 => Some(Self::NotLoaded),
            2 => Some(Self::NoInterface),
            3 => Some(Self::MayNotAsk),
            4 => Some(Self::MayNotEnter),
            5 => Some(Self::TimedOut),
            6 => Some(Self::Garbled),
            7 => Some(Self::Failed((code >> 32) as i32)),
            _ => None,
        }
    }
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLoaded => f.write_str("no connection tracking in this kernel now, so it translates no addresses"),
            Self::NoInterface => f.write_str("connection tracking cannot be asked: nf_conntrack_netlink is missing"),
            Self::MayNotAsk => f.write_str("connection tracking may not be asked without CAP_NET_ADMIN"),
            Self::MayNotEnter => {
                f.write_str("network namespaces may not be entered without CAP_SYS_ADMIN and CAP_SYS_PTRACE")
            }
            Self::TimedOut => f.write_str("connection tracking did not answer in time"),
            Self::Garbled => f.write_str("connection tracking gave an answer of an unknown shape"),
            Self::Failed(errno) => {
                write!(f, "connection tracking could not be asked: {}", io::Error::from_raw_os_error(*errno))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_obstacle_is_kept_as_it_was() {
        let all = [
            Obstacle::NotLoaded,
            Obstacle::NoInterface,
            Obstacle::MayNotAsk,
            Obstacle::MayNotEnter,
            Obstacle::TimedOut,
            Obstacle::Garbled,
            Obstacle::Failed(28),
            Obstacle::Failed(-1),
        ];
        for obstacle in all {
            assert_eq!(Obstacle::decode(obstacle.encode()), Some(obstacle));
        }
        assert_eq!(Obstacle::decode(0), None);
    }
}
