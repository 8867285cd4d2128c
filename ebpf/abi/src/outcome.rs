//! How connects and connections fail.

use crate::indexed::indexed;

indexed! {
    /// How a connect ended: the index of `EdgeRecord::connects`.
    ConnectOutcome,
    /// Number of `ConnectOutcome`s.
    N_CONNECT_OUTCOMES,
    /// SYN_SENT to ESTABLISHED.
    Ok = 0 => "ok",
    /// A reset answered the SYN (`ECONNREFUSED`).
    Refused = 1 => "refused",
    /// The far end was silent: the kernel stopped retransmitting the SYN (`ETIMEDOUT`), or the caller closed the socket after a
    /// SYN had been retransmitted (its own connect timeout).
    Timeout = 2 => "timeout",
    /// No route, or ICMP reported that (`ENETUNREACH`, `EHOSTUNREACH`).
    Unreachable = 3 => "unreachable",
    /// Reset during the handshake, but not as an answer to the SYN (`ECONNRESET`).
    Reset = 4 => "reset",
    /// The caller closed the socket before an answer could be overdue: no SYN had been retransmitted.
    Cancelled = 5 => "cancelled",
    /// No local address or port was free (`EADDRNOTAVAIL`).
    AddressNotAvailable = 6 => "address_not_available",
    /// Any other error, such as `EACCES` from a local firewall.
    Other = 7 => "other",
}

indexed! {
    /// Why an established connection reported an error (`sk_err`): the index of `EdgeRecord::errors`.
    SocketError,
    /// Number of `SocketError`s.
    N_SOCKET_ERRORS,
    /// `ETIMEDOUT`: retransmissions or keep-alives went unanswered.
    Timeout = 0 => "timeout",
    /// `ECONNRESET`, `EPIPE`: the peer reset the connection.
    Reset = 1 => "reset",
    /// `EHOSTUNREACH`, `ENETUNREACH` and kin.
    Unreachable = 2 => "unreachable",
    /// Anything else.
    Other = 3 => "other",
}

const _: () = assert!(N_CONNECT_OUTCOMES == 8 && N_SOCKET_ERRORS == 4, "the arrays in EdgeRecord keep their layout");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_finds_its_variant() {
        assert!(ConnectOutcome::ALL.iter().all(|&o| ConnectOutcome::from_index(o.index()) == Some(o)));
        assert!(SocketError::ALL.iter().all(|&e| SocketError::from_index(e.index()) == Some(e)));
        assert_eq!(ConnectOutcome::from_index(N_CONNECT_OUTCOMES), None);
        assert_eq!(SocketError::from_index(usize::MAX), None);
    }

    #[test]
    fn names_are_the_frozen_ones_of_the_json_document() {
        let outcomes =
            ["ok", "refused", "timeout", "unreachable", "reset", "cancelled", "address_not_available", "other"];
        assert_eq!(ConnectOutcome::ALL.map(ConnectOutcome::name), outcomes);
        assert_eq!(SocketError::ALL.map(SocketError::name), ["timeout", "reset", "unreachable", "other"]);
    }
}
