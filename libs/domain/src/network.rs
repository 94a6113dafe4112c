//! Where connections may go: addresses that anybody may name, and those that an administrator must allow.

mod host_name;
mod range;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use serde::Deserialize;

pub use host_name::{HostName, InvalidHost};
pub use range::{AddressRange, InvalidRange};

/// The section `[network]`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NetworkSettings {
    /// Networks beside the public ones that hosts may lie in which no administrator has named, such as `10.0.0.0/8`.
    pub allow: Vec<AddressRange>,
}

/// Which addresses a connection may be made to, once its host was looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressRule {
    /// Any: an administrator has named the host.
    Any,
    /// Public ones, and those of the networks that are allowed.
    Public(Arc<[AddressRange]>),
}

impl AddressRule {
    /// Returns the rule for hosts that no administrator has named.
    pub fn public(settings: &NetworkSettings) -> Self {
        Self::Public(settings.allow.as_slice().into())
    }

    /// Returns whether a connection may be made to this address.
    pub fn permits(&self, address: IpAddr) -> bool {
        match self {
            Self::Any => true,
            Self::Public(allowed) => {
                is_public(address) || allowed.iter().any(|range| range.contains(address))
            }
        }
    }
}

/// Returns whether an address is one of the public Internet: none of this machine, of a link, of a private or shared
/// network, of a cloud's own services, and none that only stands for another address (RFC 6890 and its registries).
pub fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// Azure's metadata and DNS service, the one such service that lies in a public range; others are link-local or private.
const AZURE_PLATFORM: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);

const fn is_public_v4(address: Ipv4Addr) -> bool {
    !matches!(
        address.octets(),
        [0 | 10 | 127 | 224..=255, ..]
            | [100, 64..=127, ..] // shared by providers, RFC 6598
            | [169, 254, ..]
            | [172, 16..=31, ..]
            | [192, 168, ..]
            | [192, 0, 0 | 2, _]
            | [192, 88, 99, _] // 6to4 relays
            | [198, 18 | 19, ..]
            | [198, 51, 100, _]
            | [203, 0, 113, _]
    ) && address.to_bits() != AZURE_PLATFORM.to_bits()
}

/// Only `2000::/3` is given to networks; IPv4-mapped (`::ffff:0:0/96`), NAT64 (`64:ff9b::/96`) and private addresses lie
/// outside of it.
const fn is_public_v6(address: Ipv6Addr) -> bool {
    match address.segments() {
        // Teredo, ORCHID and benchmarks; documentation; 6to4, which stands for an IPv4 address.
        [0x2001, 0..=0x01ff | 0x0db8, ..] | [0x2002, ..] | [0x3fff, 0..=0x0fff, ..] => false,
        [first, ..] => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests;
