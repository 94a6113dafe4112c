use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::Deserialize;

/// A network as CIDR writes it, such as `10.0.0.0/8`; an address alone is a network of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct AddressRange {
    first: IpAddr,
    prefix_bits: u8,
}

/// The text names no network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be a network such as 10.0.0.0/8 or fd00::/8, with no bit set behind its prefix")]
pub struct InvalidRange;

impl AddressRange {
    /// Returns whether the network holds the address, also when it is written as IPv4-mapped.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        let differing = leading_bits(self.first) ^ leading_bits(address);
        let behind = 128 - u32::from(self.prefix_bits);
        self.first.is_ipv4() == address.is_ipv4()
            && differing.checked_shr(behind).unwrap_or_default() == 0
    }
}

/// Returns the address with its first bit in front, so that prefixes of both families are compared alike.
const fn leading_bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => (address.to_bits() as u128) << 96,
        IpAddr::V6(address) => address.to_bits(),
    }
}

impl FromStr for AddressRange {
    type Err = InvalidRange;

    fn from_str(text: &str) -> Result<Self, InvalidRange> {
        let (first, prefix) = match text.trim().split_once('/') {
            Some((first, prefix)) => (first, Some(prefix)),
            None => (text.trim(), None),
        };
        let first: IpAddr = first.parse().map_err(|_| InvalidRange)?;
        let longest = if first.is_ipv4() { 32 } else { 128 };
        let prefix_bits = match prefix {
            Some(prefix) => prefix.parse().map_err(|_| InvalidRange)?,
            None => longest,
        };
        // 10.1.0.0/8 is a slip of the pen: it is not clear which of the two was meant.
        let rest = leading_bits(first).checked_shl(u32::from(prefix_bits));
        let has_rest = rest.unwrap_or_default() != 0;
        if prefix_bits > longest || has_rest {
            return Err(InvalidRange);
        }
        Ok(Self { first, prefix_bits })
    }
}

impl TryFrom<String> for AddressRange {
    type Error = InvalidRange;

    fn try_from(text: String) -> Result<Self, InvalidRange> {
        text.parse()
    }
}

impl fmt::Display for AddressRange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.first, self.prefix_bits)
    }
}
