use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;

use mailmesh_domain::AddressRule;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// Looks hosts up and leaves out addresses that may not be connected to. What is checked is what is connected to, so that a
/// name cannot be bound to another address in between.
#[derive(Debug)]
pub(crate) struct Resolver {
    rule: AddressRule,
    trusted: Arc<[String]>,
}

/// The host's addresses are not public, and no administrator has named or allowed it.
#[derive(Debug, thiserror::Error)]
#[error("the host is not on the public Internet, and no administrator has allowed its network")]
pub(crate) struct NotPublic;

impl Resolver {
    pub(crate) fn new(rule: AddressRule, trusted: Vec<String>) -> Self {
        Self {
            rule,
            trusted: trusted.into(),
        }
    }

    /// Returns whether a URL whose host is an address may be asked; names are judged once they are looked up.
    pub(crate) fn permits(&self, url: &Url) -> bool {
        let address = match url.host() {
            Some(Host::Ipv4(address)) => address.into(),
            Some(Host::Ipv6(address)) => address.into(),
            Some(Host::Domain(_)) | None => return true,
        };
        self.rule.permits(address) || url.host_str().is_some_and(|host| self.is_trusted(host))
    }

    fn is_trusted(&self, host: &str) -> bool {
        self.trusted
            .iter()
            .any(|trusted| trusted.eq_ignore_ascii_case(host))
    }
}

impl Resolve for Resolver {
    fn resolve(&self, name: Name) -> Resolving {
        let rule = if self.is_trusted(name.as_str()) {
            AddressRule::Any
        } else {
            self.rule.clone()
        };
        Box::pin(async move {
            // The port is the request's, whatever stands here.
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let found: Vec<SocketAddr> = found.collect();
            let has_any = !found.is_empty();
            let permitted = found
                .into_iter()
                .filter(|address| rule.permits(address.ip()));
            let permitted: Vec<SocketAddr> = permitted.collect();
            if has_any && permitted.is_empty() {
                let refused: Box<dyn Error + Send + Sync> = Box::new(NotPublic);
                return Err(refused);
            }
            let permitted: Addrs = Box::new(permitted.into_iter());
            Ok(permitted)
        })
    }
}
