//! How many connections may stand, in total and from one peer.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections by peer.
#[derive(Debug)]
pub(super) struct Peers {
    most: Option<usize>,
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

/// One connection's place; free again when this is dropped.
#[derive(Debug)]
pub(super) struct PeerPlace {
    peer: IpAddr,
    counts: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Peers {
    pub(super) fn new(most: Option<usize>) -> Self {
        Self {
            most,
            counts: Arc::default(),
        }
    }

    /// Takes a place for a connection from this address; none if the peer has as many as it may have.
    pub(super) fn admit(&self, address: IpAddr) -> Option<PeerPlace> {
        let peer = peer_of(address);
        let mut counts = lock(&self.counts);
        let count = counts.entry(peer).or_default();
        if self.most.is_some_and(|most| *count >= most) {
            return None;
        }
        *count += 1;
        Some(PeerPlace {
            peer,
            counts: Arc::clone(&self.counts),
        })
    }
}

impl Drop for PeerPlace {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        if let Some(count) = counts.get_mut(&self.peer) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.peer);
            }
        }
    }
}

fn lock(counts: &Mutex<HashMap<IpAddr, usize>>) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Of IPv6 the first 64 bits: who has one address has the whole network (RFC 6177).
fn peer_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let network = address.to_bits() & (u128::MAX << 64);
            Ipv6Addr::from_bits(network).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peer_has_so_many_places_and_gets_them_back() {
        let peers = Peers::new(Some(2));
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let one = peers.admit(address("192.0.2.1"));
        let mapped = peers.admit(address("::ffff:192.0.2.1"));

        assert!(one.is_some() && mapped.is_some());
        assert!(peers.admit(address("192.0.2.1")).is_none());
        let other = peers.admit(address("192.0.2.2"));
        assert!(other.is_some());
        drop(one);
        assert!(peers.admit(address("192.0.2.1")).is_some());

        let network = ["2001:db8::1", "2001:db8::ffff:2"].map(|text| peers.admit(address(text)));
        assert!(network.iter().all(Option::is_some));
        assert!(peers.admit(address("2001:db8:0:0:1::3")).is_none());
        assert!(peers.admit(address("2001:db8:0:1::3")).is_some());
        drop((mapped, other, network));
        assert!(lock(&peers.counts).is_empty());
    }
}
