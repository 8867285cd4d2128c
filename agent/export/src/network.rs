//! A network of addresses, as in `10.0.0.0/8`.

use std::{net::IpAddr, str::FromStr};

/// An address and how many of its leading bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl FromStr for Network {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| format!("{address:?} is no IP address"))?;
        let width = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            None => width,
            Some(bits) => {
                bits.parse().ok().filter(|b| *b <= width).ok_or(format!("/{bits} is no prefix of {address}"))?
            }
        };
        Ok(Self { address, bits })
    }
}

impl Network {
    pub(super) fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(a), IpAddr::V4(b)) => same_prefix(a.to_bits().into(), b.to_bits().into(), 32 - self.bits),
            (IpAddr::V6(a), IpAddr::V6(b)) => same_prefix(a.to_bits(), b.to_bits(), 128 - self.bits),
            _ => false,
        }
    }
}

/// Whether two addresses agree in all but their last `free` bits.
fn same_prefix(a: u128, b: u128, free: u8) -> bool {
    (a ^ b).checked_shr(free.into()).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        let network: Network = "10.0.0.0/8".parse().expect("network");
        assert!(network.contains("10.200.3.4".parse().expect("address")));
        assert!(!network.contains("11.0.0.1".parse().expect("address")));
        assert!(!network.contains("::1".parse().expect("address")));
        let all: Network = "::/0".parse().expect("network");
        assert!(all.contains("fe80::1".parse().expect("address")));
        assert!("10.0.0.0/33".parse::<Network>().is_err());
        assert!("host/8".parse::<Network>().is_err());
    }
}
