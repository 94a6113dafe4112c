use std::collections::HashSet;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, PoisonError};

/// Ports that we gave out: a port is free until its server has bound it, and two callers must not meet in between.
static GIVEN: Mutex<Option<HashSet<u16>>> = Mutex::new(None);

const LOWEST: u16 = 15_000;
const HIGHEST: u16 = 31_999;

/// Returns a port of the loopback address that is free and was not returned before by this process.
///
/// It lies below the ports that the kernel lends to outgoing connections. Otherwise a client that
/// keeps dialling a stopped server could be lent that very port, connect to itself, and so keep the
/// server from coming back.
pub fn free_port() -> u16 {
    for _ in 0..1_000 {
        let port = random_port();
        if is_free(port) && give(port) {
            return port;
        }
    }
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
        .and_then(|listener| listener.local_addr())
        .map_or(LOWEST, |address| address.port())
}

pub(crate) fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

fn give(port: u16) -> bool {
    let mut given = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    given.get_or_insert_default().insert(port)
}

fn random_port() -> u16 {
    let mut bytes = [0; 2];
    // Without randomness every port is still tried against the kernel below.
    if aws_lc_rs::rand::fill(&mut bytes).is_err() {
        return LOWEST;
    }
    LOWEST + u16::from_le_bytes(bytes) % (HIGHEST - LOWEST + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_free_and_given_once() {
        let ports: Vec<u16> = (0..50).map(|_| free_port()).collect();

        let distinct: HashSet<&u16> = ports.iter().collect();
        assert_eq!(distinct.len(), ports.len());
        assert!(ports.iter().all(|port| (LOWEST..=HIGHEST).contains(port)));
    }

    #[test]
    fn a_taken_port_is_not_free() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();

        assert!(!is_free(listener.local_addr().unwrap().port()));
    }
}
