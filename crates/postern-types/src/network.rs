//! Networks that clients may come from, as `10.0.0.0/8` or `2001:db8::/32`.

use serde::{Deserialize, Deserializer};
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// An IPv4 or IPv6 network. Bits behind its prefix are 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

/// Text that is not a network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidNetwork {
    /// Not of the form ADDRESS/BITS.
    #[error(
        "`{0}` is not a network; write it as 10.1.0.0/16 or 2001:db8::/32, a single address with /32 or /128"
    )]
    Malformed(String),
    /// Bits are set behind the prefix, so it is not clear what was meant.
    #[error("`{written}` has bits set behind its prefix; is {network} meant?")]
    Bits {
        /// As written.
        written: String,
        /// The network that contains it.
        network: Network,
    },
}

/// The address as a number, and how many bits such an address has.
fn bits(address: IpAddr) -> (u128, u8) {
    match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    }
}

/// The address with all bits behind the first `prefix` set to 0.
fn cut(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let away = 32u32.saturating_sub(prefix.into());
            let kept = u32::MAX.checked_shl(away).unwrap_or(0);
            IpAddr::V4((v4.to_bits() & kept).into())
        }
        IpAddr::V6(v6) => {
            let away = 128u32.saturating_sub(prefix.into());
            let kept = u128::MAX.checked_shl(away).unwrap_or(0);
            IpAddr::V6((v6.to_bits() & kept).into())
        }
    }
}

impl Network {
    /// All of IPv4, and all of IPv6.
    pub const EVERYWHERE: [Network; 2] = [
        Network {
            address: IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED),
            prefix: 0,
        },
        Network {
            address: IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED),
            prefix: 0,
        },
    ];

    /// The network with this prefix that an address is in. A prefix that is too long is that of the address alone.
    pub fn around(address: IpAddr, prefix: u8) -> Network {
        let prefix = prefix.min(bits(address).1);
        Network {
            address: cut(address, prefix),
            prefix,
        }
    }

    /// Whether an address is in it. An IPv4 address in IPv6 form is not the same as the IPv4 address; make it
    /// canonical before.
    pub fn contains(&self, address: IpAddr) -> bool {
        bits(address).1 == bits(self.address).1 && cut(address, self.prefix) == self.address
    }

    /// Its first address.
    pub fn address(&self) -> IpAddr {
        self.address
    }

    /// Whether it is everything, of IPv4 or of IPv6.
    pub fn is_everything(&self) -> bool {
        self.prefix == 0
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Network, InvalidNetwork> {
        let malformed = || InvalidNetwork::Malformed(text.to_owned());
        let (address, prefix) = text.split_once('/').ok_or_else(malformed)?;
        let address: IpAddr = address.parse().map_err(|_| malformed())?;
        let digits = !prefix.is_empty() && prefix.len() <= 3 && prefix.bytes().all(|b| b.is_ascii_digit());
        let prefix: u8 = Some(prefix)
            .filter(|_| digits)
            .and_then(|prefix| prefix.parse().ok())
            .filter(|prefix| *prefix <= bits(address).1)
            .ok_or_else(malformed)?;
        let network = Network::around(address, prefix);
        if network.address == address {
            Ok(network)
        } else {
            Err(InvalidNetwork::Bits {
                written: text.to_owned(),
                network,
            })
        }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl<'de> Deserialize<'de> for Network {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Network, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn network(text: &str) -> Network {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_inside_and_what_is_not() {
        let contains = |net: &str, address: &str| network(net).contains(address.parse().unwrap());
        assert!(contains("10.0.0.0/8", "10.255.0.1") && !contains("10.0.0.0/8", "11.0.0.0"));
        assert!(contains("192.0.2.7/32", "192.0.2.7") && !contains("192.0.2.7/32", "192.0.2.6"));
        assert!(contains("0.0.0.0/0", "255.255.255.255") && !contains("0.0.0.0/0", "::1"));
        assert!(contains("2001:db8::/32", "2001:db8:1::1") && !contains("2001:db8::/32", "2001:db9::"));
        assert!(contains("::/0", "::1") && !contains("::/0", "10.0.0.1"));
    }

    #[test]
    fn what_is_not_clear_is_refused() {
        for text in [
            "",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0/8",
            "::/129",
            "a/8",
            "10.0.0.0/08x",
            " 10.0.0.0/8",
        ] {
            assert!(
                matches!(text.parse::<Network>(), Err(InvalidNetwork::Malformed(_))),
                "{text}"
            );
        }
        let error = "10.1.2.3/8".parse::<Network>().unwrap_err();
        assert!(error.to_string().contains("is 10.0.0.0/8 meant?"), "{error}");
    }

    proptest! {
        #[test]
        fn every_address_is_in_the_networks_around_it(address: [u8; 16], v4: bool, prefix in 0u8..=128) {
            let address = if v4 {
                IpAddr::from([address[0], address[1], address[2], address[3]])
            } else {
                IpAddr::from(address)
            };
            let around = Network::around(address, prefix);
            prop_assert!(around.contains(address));
            prop_assert_eq!(network(&around.to_string()), around);
        }

        #[test]
        fn no_text_panics(text in "[0-9a-f:./]{0,24}") {
            let _ = text.parse::<Network>();
        }
    }
}
