//! By which name clients reach the sandbox, and who may.

use std::net::{IpAddr, SocketAddr};

use url::Host;

use crate::settings::Settings;

/// The settings of address and host do not fit together.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HostError {
    /// The address can be reached from elsewhere, which nobody asked for.
    #[error("{address} is not loopback, and reachable_by_others is not set")]
    NotLoopback {
        /// The address asked for.
        address: IpAddr,
    },
    /// The address stands for all of the machine's, so it names none.
    #[error(
        "{address} stands for every address of the machine, so host must say how clients reach it"
    )]
    Missing {
        /// The address asked for.
        address: IpAddr,
    },
    /// The host cannot stand in a URL.
    #[error("host {host} is neither a name nor an IP address")]
    Invalid {
        /// The host asked for.
        host: String,
    },
    /// Clients would send secrets in clear text, which they refuse.
    #[error("host {host} is not this machine, so OAuth must be served with https")]
    Unprotected {
        /// The host asked for.
        host: String,
    },
}

/// Returns the host that clients connect to.
pub(crate) fn choose(settings: &Settings) -> Result<String, HostError> {
    let address = settings.bind;
    if !address.is_loopback() && !settings.reachable_by_others {
        return Err(HostError::NotLoopback { address });
    }
    let host = match &settings.host {
        None if address.is_unspecified() => return Err(HostError::Missing { address }),
        None => address.to_string(),
        Some(host) => match host.parse::<IpAddr>() {
            Ok(given) => given.to_string(),
            Err(_) => name(host)?,
        },
    };
    if settings.https || is_this_machine(&host) {
        return Ok(host);
    }
    Err(HostError::Unprotected { host })
}

/// Returns the base URL of the OAuth server.
pub(crate) fn url(host: &str, port: u16, https: bool) -> String {
    let scheme = if https { "https" } else { "http" };
    match host.parse::<IpAddr>() {
        Ok(address) => format!("{scheme}://{}", SocketAddr::new(address, port)),
        Err(_) => format!("{scheme}://{host}:{port}"),
    }
}

fn name(host: &str) -> Result<String, HostError> {
    match Host::parse(host) {
        Ok(Host::Domain(name)) => Ok(name),
        Ok(_) | Err(_) => Err(HostError::Invalid {
            host: host.to_owned(),
        }),
    }
}

fn is_this_machine(host: &str) -> bool {
    host.parse::<IpAddr>().map_or_else(
        |_| host == "localhost" || host.ends_with(".localhost"),
        |address| address.is_loopback(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(bind: &str, host: Option<&str>) -> Settings {
        Settings {
            bind: bind.parse().unwrap(),
            host: host.map(str::to_owned),
            reachable_by_others: true,
            https: true,
            ..Settings::default()
        }
    }

    #[test]
    fn only_loopback_is_listened_on_unless_asked() {
        for address in ["0.0.0.0", "::", "192.0.2.1"] {
            let mut settings = given(address, Some("sandbox"));
            settings.reachable_by_others = false;
            assert!(
                matches!(choose(&settings), Err(HostError::NotLoopback { .. })),
                "{address}"
            );
        }
        assert_eq!(choose(&Settings::default()).unwrap(), "127.0.0.1");
    }

    #[test]
    fn host_is_the_one_given_or_the_address() {
        for (bind, host, chosen) in [
            ("0.0.0.0", Some("Sandbox"), "sandbox"),
            ("0.0.0.0", Some("192.0.2.7"), "192.0.2.7"),
            ("::", Some("::1"), "::1"),
            ("192.0.2.1", None, "192.0.2.1"),
        ] {
            assert_eq!(choose(&given(bind, host)).unwrap(), chosen);
        }
        let nameless = choose(&given("0.0.0.0", None)).unwrap_err();
        assert!(matches!(nameless, HostError::Missing { .. }));
        for host in ["", "two words", "sandbox/path", "sandbox:8090", "[::1]"] {
            let refused = choose(&given("0.0.0.0", Some(host))).unwrap_err();
            assert!(matches!(refused, HostError::Invalid { .. }), "{host}");
        }
    }

    #[test]
    fn clear_text_is_for_this_machine_alone() {
        for (host, is_allowed) in [
            ("sandbox", false),
            ("192.0.2.7", false),
            ("localhost", true),
            ("sandbox.localhost", true),
            ("127.0.0.2", true),
        ] {
            let mut settings = given("0.0.0.0", Some(host));
            settings.https = false;
            assert_eq!(choose(&settings).is_ok(), is_allowed, "{host}");
        }
    }

    #[test]
    fn url_brackets_ipv6() {
        assert_eq!(url("::1", 80, false), "http://[::1]:80");
        assert_eq!(url("127.0.0.1", 8090, false), "http://127.0.0.1:8090");
        assert_eq!(url("sandbox", 8090, true), "https://sandbox:8090");
    }
}
