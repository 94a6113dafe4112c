//! Checks the values of settings that are well-formed, and what is missing, before any connection is opened.

use std::error::Error;

use mailmesh_oauth::PublicSettings;
use mailmesh_runtime::{ConfigError, ConfigFaults};
use mailmesh_secrets::{KeysError, OpeningKeys, SealingKey};
use mailmesh_store::PostgresSettings;

use super::Config;
use crate::service_kind::Kind;

impl Config {
    /// Checks what a process of these services takes. The error tells all that is wrong.
    pub(crate) fn check(&self, kinds: &[Kind]) -> Result<(), ConfigError> {
        let mut faults = ConfigFaults::default();
        faults.note(self.check_values(kinds));
        faults.note(self.postgres());
        for kind in kinds {
            if *kind == Kind::Admin {
                faults.note(self.sealing_key());
            } else {
                faults.note(self.opening_keys());
            }
            if matches!(kind, Kind::Admin | Kind::AuthCallback | Kind::TokenRefresh) {
                faults.note(self.public());
            }
        }
        faults.finish(Some(()))
    }

    /// Checks the settings that are set; the missing ones are filled in by `up`, or not needed by the command.
    pub(crate) fn check_values(&self, kinds: &[Kind]) -> Result<(), ConfigError> {
        let mut faults = ConfigFaults::default();
        faults.note(of_section("nats", self.nats.validate()));
        faults.note(of_section("connects", self.connects.validate()));
        faults.note(self.check_public());
        if let Some(postgres) = &self.postgres {
            faults.note(of_keys("postgres", postgres.resolve()));
        }
        for kind in kinds {
            faults.note(self.check_section(*kind));
        }
        faults.finish(Some(()))
    }

    fn check_section(&self, kind: Kind) -> Result<(), ConfigError> {
        match kind {
            Kind::TokenRefresh => of_section("token_refresh", self.token_refresh.validate()),
            Kind::InboundFetcher => of_section("inbound_fetcher", self.inbound_fetcher.validate()),
            Kind::OutboundSender => of_section("outbound_sender", self.outbound_sender.validate()),
            Kind::Admin | Kind::AuthCallback => Ok(()),
        }
    }

    pub(crate) fn postgres(&self) -> Result<&PostgresSettings, ConfigError> {
        self.postgres
            .as_ref()
            .ok_or_else(|| missing("postgres.url"))
    }

    /// Returns the address at which browsers reach auth-callback.
    /// Returns how browsers on this machine reach `auth-callback`, for a mesh without a public URL.
    pub(crate) fn local_public(&self) -> anyhow::Result<PublicSettings> {
        let url = format!("http://localhost:{}", self.auth_callback.listen.port());
        Ok(PublicSettings {
            url: url.parse()?,
            redirect_path: "/oauth/callback".to_owned(),
        })
    }

    pub(crate) fn public(&self) -> Result<&PublicSettings, ConfigError> {
        self.check_public()?;
        self.public.as_ref().ok_or_else(|| missing("public.url"))
    }

    /// Providers send sign-in codes to that address, and refuse one in clear beyond this machine (RFC 9700 §2.6).
    fn check_public(&self) -> Result<(), ConfigError> {
        let refused = self
            .public
            .as_ref()
            .filter(|public| !is_protected(&public.url));
        match refused {
            Some(public) => of_section("public.url", Err(NotHttps(public.url.to_string()))),
            None => Ok(()),
        }
    }

    pub(crate) const fn has_no_keys(&self) -> bool {
        self.keys.opening_key_file.is_none() && self.keys.sealing_key_file.is_none()
    }

    pub(crate) fn opening_keys(&self) -> Result<OpeningKeys, ConfigError> {
        of_keys("keys", self.keys.opening_keys())
    }

    /// Checks that what admin seals can be opened, where this process has both keys.
    pub(crate) fn check_key_pair(&self) -> Result<(), ConfigError> {
        of_keys("keys", self.keys.check_pair())
    }

    pub(crate) fn sealing_key(&self) -> Result<SealingKey, ConfigError> {
        of_keys("keys", self.keys.sealing_key())
    }
}

#[derive(Debug, thiserror::Error)]
#[error(
    "{0} is not https: put auth-callback behind TLS and name its https address; http is for localhost alone"
)]
struct NotHttps(String);

fn is_protected(url: &url::Url) -> bool {
    let is_local = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(address)) => address.is_loopback(),
        Some(url::Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && is_local)
}

fn of_section<T, E>(section: &str, result: Result<T, E>) -> Result<T, ConfigError>
where
    E: Error + Send + Sync + 'static,
{
    result.map_err(|error| ConfigError::invalid(section, error))
}

fn of_keys<T>(section: &str, result: Result<T, KeysError>) -> Result<T, ConfigError> {
    match result {
        Err(KeysError::Missing { setting }) => Err(missing(setting)),
        other => of_section(section, other),
    }
}

fn missing(key: &str) -> ConfigError {
    ConfigError::Missing {
        key: key.to_owned(),
    }
}
