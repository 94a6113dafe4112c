use mailmesh_domain::{AddressRule, Direction, FailureCause, NetworkSettings};
use mailmesh_mail::{Endpoint, Server, TlsError};
use mailmesh_store::StoreError;
use mailmesh_store::account::Account;

use crate::limit::{ConnectLimiter, ConnectPermit, ConnectSettings};
use crate::tls::TlsConfigs;

/// Limits on sign-ins and TLS configurations that all accounts of a process share.
#[derive(Debug)]
pub struct MailServers {
    limiter: ConnectLimiter,
    tls: TlsConfigs,
    /// Where hosts may lie that no administrator has named.
    public: AddressRule,
}

/// An account's settings do not name a usable server.
#[derive(Debug, thiserror::Error)]
pub enum EndpointError {
    /// Its row names no server.
    #[error("the account names no server")]
    Address(#[source] StoreError),
    /// Its private CA cannot be read.
    #[error("the server's private CA cannot be used")]
    Tls(#[from] TlsError),
}

impl EndpointError {
    /// Returns what the failure is caused by, as far as it decides who must act.
    pub const fn failure_cause(&self) -> FailureCause {
        match self {
            Self::Address(_) => FailureCause::NoServer,
            Self::Tls(error) => error.failure_cause(),
        }
    }

    /// Names the setting that whoever must act has to change.
    pub const fn advice(&self) -> &'static str {
        match self {
            Self::Address(_) => "Set the account's host.",
            Self::Tls(_) => "Correct the account's ca_pem.",
        }
    }
}

impl MailServers {
    /// Call once per process: a second one would have limits of its own.
    pub fn new(settings: &ConnectSettings) -> Self {
        Self {
            limiter: ConnectLimiter::new(settings),
            tls: TlsConfigs::default(),
            public: AddressRule::public(&NetworkSettings::default()),
        }
    }

    /// Sets the networks beside the public ones that hosts may lie in which no administrator has named.
    #[must_use]
    pub fn allowing(mut self, network: &NetworkSettings) -> Self {
        self.public = AddressRule::public(network);
        self
    }

    /// Returns where an account's server is and how it is trusted.
    ///
    /// # Errors
    /// [`EndpointError`], which says who must act.
    pub fn endpoint_of(&self, account: &Account) -> Result<Endpoint, EndpointError> {
        let address = account.server_address().map_err(EndpointError::Address)?;
        Ok(Endpoint {
            protocol: account.protocol,
            direction: account.direction,
            server: Server {
                host: address.host.clone(),
                port: address.port,
                encryption: address.encryption,
                tls: self.tls.get(account.ca_pem.as_deref())?,
                addresses: if account.is_host_trusted {
                    AddressRule::Any
                } else {
                    self.public.clone()
                },
            },
        })
    }

    /// Waits for the right to sign in at a host.
    pub async fn permit_connect(&self, direction: Direction, host: &str) -> ConnectPermit {
        self.limiter.acquire(direction, host).await
    }
}
