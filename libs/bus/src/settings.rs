use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use serde::Deserialize;

use crate::subject::is_literal;

/// The relay looks for an event in the stream before it publishes it a second time; what the server must recognise is a
/// message still on its way meanwhile: at most the time limits of sending (15 s) and of its answer (10 s), with a margin.
const LEAST_DUPLICATE_WINDOW_SECONDS: u64 = 60;

/// Address and credentials of NATS, and the limits of the streams.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BusSettings {
    /// One address, or several with commas between them. `nats://user:password@host:port` signs in as that user everywhere,
    /// `nats://token@host:port` with a token; what URLs reserve is percent-encoded there.
    pub url: String,
    /// Precedes every stream and subject; empty in production, one per test.
    pub prefix: String,
    /// How to sign in; none for an open server or when the address carries a user.
    pub credentials: Option<BusCredentials>,
    /// A PEM file with a private authority to trust beside the system's.
    pub tls_ca_file: Option<PathBuf>,
    /// Whether servers other than this machine's may be spoken to without TLS.
    pub allow_unencrypted: bool,
    /// Precedes the subjects on which the server answers this client. Where each user may subscribe to its own alone, no
    /// user reads another's answers.
    pub inbox_prefix: String,
    /// Whether streams are made and changed by whoever connects. Where one user alone may do so, `mailmesh provision` does,
    /// and the services only look whether they are there.
    pub provision: bool,
    /// Time limit for the first connection.
    pub connect_wait_seconds: u64,
    /// The name that the server shows for this connection.
    pub client_name: String,
    pub streams: StreamSettings,
}

/// Credentials of this process at NATS.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum BusCredentials {
    /// A user and a file that holds the password.
    UserPassword {
        user: String,
        password_file: PathBuf,
    },
    /// A file that holds a token.
    TokenFile(PathBuf),
    /// A `.creds` file (JWT and seed).
    CredentialsFile(PathBuf),
    /// A file that holds an nkey seed.
    NkeySeedFile(PathBuf),
    /// A token held by the program.
    #[serde(skip)]
    Token(SecretString),
    /// A user and password held by the program.
    #[serde(skip)]
    Password {
        user: String,
        password: SecretString,
    },
}

/// Limits of the streams; 0 bytes or 0 seconds mean none.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StreamSettings {
    /// Servers that store each message: 1, 3 or 5.
    pub replicas: usize,
    pub storage: Storage,
    /// Time for which the server recognises a repeated message id.
    pub duplicate_window_seconds: u64,
    /// Maximum bytes of `EVENTS`; beyond it new events are refused, so that mail stays on the mail server.
    pub events_max_bytes: u64,
    /// Maximum age of events.
    pub events_max_age_seconds: u64,
    /// Maximum bytes of `MAIL_SEND`; beyond it commands are refused.
    pub mail_send_max_bytes: u64,
    /// Maximum bytes of `MAIL_RAW`; beyond it raw mails are refused.
    pub raw_max_bytes: u64,
    /// Maximum age of raw mails.
    pub raw_max_age_seconds: u64,
    /// Maximum bytes of `DEAD_LETTERS`; beyond it messages are retried instead of dead-lettered.
    pub dead_letters_max_bytes: u64,
    /// Maximum age of dead letters.
    pub dead_letters_max_age_seconds: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    File,
    /// In memory, gone with the server: for tests.
    Memory,
}

/// What is wrong in the settings.
#[derive(Debug, thiserror::Error)]
pub enum BusSettingsError {
    /// The prefix would not make valid names.
    #[error(
        "nats.prefix {prefix:?} may hold only lower-case letters, digits, '-' and '_', at most 32"
    )]
    Prefix { prefix: String },
    /// The inbox prefix would not make a valid subject.
    #[error(
        "nats.inbox_prefix {prefix:?} must be one or more words of letters, digits, '-' and '_' with dots between them"
    )]
    InboxPrefix { prefix: String },
    /// The number of replicas is not one that JetStream takes.
    #[error("nats.streams.replicas is {replicas}, it must be 1, 3 or 5")]
    Replicas { replicas: usize },
    /// The duplicate window does not fit.
    #[error(
        "nats.streams.duplicate_window_seconds is {seconds}, it must be at least 60 and not above any stream's max age"
    )]
    DuplicateWindow { seconds: u64 },
    /// A file with a secret could not be read.
    #[error("cannot read the NATS credentials from {}", path.display())]
    SecretFile {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

impl Default for BusSettings {
    fn default() -> Self {
        Self {
            url: "nats://127.0.0.1:4222".to_owned(),
            prefix: String::new(),
            credentials: None,
            tls_ca_file: None,
            allow_unencrypted: false,
            inbox_prefix: "_INBOX".to_owned(),
            provision: true,
            connect_wait_seconds: 15,
            client_name: "mailmesh".to_owned(),
            streams: StreamSettings::default(),
        }
    }
}

// The server reserves the sum of these limits, so the defaults must fit a small machine's disk.
impl Default for StreamSettings {
    fn default() -> Self {
        const DAY: u64 = 24 * 60 * 60;
        const GIB: u64 = 1024 * 1024 * 1024;
        Self {
            replicas: 1,
            storage: Storage::File,
            duplicate_window_seconds: 10 * 60,
            events_max_bytes: GIB,
            events_max_age_seconds: 14 * DAY,
            mail_send_max_bytes: GIB,
            raw_max_bytes: 4 * GIB,
            raw_max_age_seconds: 30 * DAY,
            dead_letters_max_bytes: GIB / 4,
            dead_letters_max_age_seconds: 90 * DAY,
        }
    }
}

impl fmt::Debug for BusSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("BusSettings")
            .field("url", &self.shown_url())
            .field("prefix", &self.prefix)
            .field("credentials", &self.credentials)
            .field("tls_ca_file", &self.tls_ca_file)
            .field("allow_unencrypted", &self.allow_unencrypted)
            .field("inbox_prefix", &self.inbox_prefix)
            .field("provision", &self.provision)
            .field("connect_wait_seconds", &self.connect_wait_seconds)
            .field("client_name", &self.client_name)
            .field("streams", &self.streams)
            .finish()
    }
}

impl BusSettings {
    /// Returns the addresses without user and password, fit for logs.
    pub fn shown_url(&self) -> String {
        let shown = self.addresses().into_iter().map(|address| {
            if address.contains("://") {
                address
            } else {
                format!("nats://{address}")
            }
        });
        shown.collect::<Vec<_>>().join(",")
    }

    pub(crate) fn servers(&self) -> impl Iterator<Item = &str> {
        self.url
            .split(',')
            .map(str::trim)
            .filter(|server| !server.is_empty())
    }

    /// Returns the credentials to sign in with: those that are set, else those in the address.
    ///
    /// async-nats 0.51 reads the user in an address and then does not use it.
    pub(crate) fn sign_in(&self) -> Option<BusCredentials> {
        self.credentials.clone().or_else(|| {
            let mut users = self.servers().filter_map(user_of);
            users.next().map(credentials_of)
        })
    }

    /// Returns the addresses without users, such as `nats://host:4222`.
    pub(crate) fn addresses(&self) -> Vec<String> {
        let without_user = |server: &str| match (server.split_once("://"), user_of(server)) {
            (Some((scheme, rest)), Some(user)) => {
                let host = rest.get(user.len() + 1..).unwrap_or_default();
                format!("{scheme}://{host}")
            }
            (None, Some(user)) => server.get(user.len() + 1..).unwrap_or_default().to_owned(),
            (_, None) => server.to_owned(),
        };
        self.servers().map(without_user).collect()
    }

    /// Says whether the connection must be encrypted: passwords and mail would cross a network in clear otherwise.
    pub(crate) fn requires_tls(&self) -> bool {
        let has_remote = self.servers().any(|server| !is_local(host_of(server)));
        self.tls_ca_file.is_some() || (has_remote && !self.allow_unencrypted)
    }

    pub(crate) const fn connect_wait(&self) -> Duration {
        Duration::from_secs(self.connect_wait_seconds)
    }

    /// Checks the settings against each other, and against what the services rely on.
    pub fn validate(&self) -> Result<(), BusSettingsError> {
        self.validate_names()?;
        self.streams.validate()?;
        let seconds = self.streams.duplicate_window_seconds;
        if seconds < LEAST_DUPLICATE_WINDOW_SECONDS {
            return Err(BusSettingsError::DuplicateWindow { seconds });
        }
        Ok(())
    }

    /// Checks what the server would refuse. A short window is not among it: tests use one to have repetitions met without it.
    pub(crate) fn validate_for_server(&self) -> Result<(), BusSettingsError> {
        self.validate_names()?;
        self.streams.validate()
    }

    fn validate_names(&self) -> Result<(), BusSettingsError> {
        let allowed = |byte: u8| {
            byte.is_ascii_lowercase() || byte.is_ascii_digit() || matches!(byte, b'-' | b'_')
        };
        if self.prefix.len() > 32 || !self.prefix.bytes().all(allowed) {
            return Err(BusSettingsError::Prefix {
                prefix: self.prefix.clone(),
            });
        }
        if !is_literal(&self.inbox_prefix) || !self.inbox_prefix.split('.').all(is_word) {
            return Err(BusSettingsError::InboxPrefix {
                prefix: self.inbox_prefix.clone(),
            });
        }
        Ok(())
    }
}

fn is_word(token: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    token.bytes().all(allowed)
}

/// Returns what stands before the `@` of an address.
fn user_of(server: &str) -> Option<&str> {
    let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
    rest.rsplit_once('@').map(|(user, _)| user)
}

fn credentials_of(user: &str) -> BusCredentials {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    match user.split_once(':') {
        Some((user, password)) => BusCredentials::Password {
            user: decoded(user),
            password: decoded(password).into(),
        },
        None => BusCredentials::Token(decoded(user).into()),
    }
}

/// Returns the host of `nats://user:password@host:port`, without the brackets of an IPv6 address.
fn host_of(server: &str) -> &str {
    let rest = server.split_once("://").map_or(server, |(_, rest)| rest);
    let rest = rest.rsplit_once('@').map_or(rest, |(_, rest)| rest);
    let rest = rest.split_once('/').map_or(rest, |(rest, _)| rest);
    if let Some(bracketed) = rest.strip_prefix('[') {
        return bracketed
            .split_once(']')
            .map_or(bracketed, |(host, _)| host);
    }
    rest.rsplit_once(':').map_or(rest, |(host, _)| host)
}

/// Says whether a host is this machine. Other names are not looked up: what they mean may change.
fn is_local(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost")
        || host
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

impl StreamSettings {
    fn validate(&self) -> Result<(), BusSettingsError> {
        if !matches!(self.replicas, 1 | 3 | 5) {
            return Err(BusSettingsError::Replicas {
                replicas: self.replicas,
            });
        }
        let window = self.duplicate_window_seconds;
        let ages = [
            self.events_max_age_seconds,
            self.raw_max_age_seconds,
            self.dead_letters_max_age_seconds,
        ];
        if window == 0 || ages.iter().any(|&age| age != 0 && age < window) {
            return Err(BusSettingsError::DuplicateWindow { seconds: window });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;

    #[test]
    fn debug_shows_no_password_of_the_address() {
        let settings = BusSettings {
            url: "nats://mesh:hunter2@one:4222, tls://two".to_owned(),
            ..BusSettings::default()
        };

        let shown = format!("{settings:?}");

        assert!(shown.contains("nats://one:4222,tls://two"), "{shown}");
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn a_user_in_the_address_signs_in() {
        let sign_in = |url: &str| {
            let settings = BusSettings {
                url: url.to_owned(),
                ..BusSettings::default()
            };
            (settings.sign_in(), settings.addresses().join(","))
        };
        let (both, addresses) = sign_in("nats://one:4222,nats://me:p%40ss@two:4222");
        let Some(BusCredentials::Password { user, password }) = both else {
            panic!("{both:?}");
        };
        assert_eq!((user.as_str(), password.expose_secret()), ("me", "p@ss"));
        assert_eq!(addresses, "nats://one:4222,nats://two:4222");

        let (token, address) = sign_in("t0k3n@one");
        assert!(
            matches!(token, Some(BusCredentials::Token(token)) if token.expose_secret() == "t0k3n")
        );
        assert_eq!(address, "one");
        assert!(sign_in("nats://one").0.is_none());
    }

    #[test]
    fn servers_of_other_machines_need_tls_unless_that_is_allowed() {
        let settings = |url: &str| BusSettings {
            url: url.to_owned(),
            ..BusSettings::default()
        };
        for (url, requires_tls) in [
            ("nats://127.0.0.1:4222", false),
            ("nats://u:p@localhost:4222", false),
            ("nats://[::1]:4222", false),
            ("127.0.0.2", false),
            ("nats://nats:4222", true),
            ("nats://localhost.example.com", true),
            ("nats://10.0.0.1:4222", true),
            ("nats://localhost@evil.example.com:4222", true),
            ("nats://127.0.0.1:4222,nats://other:4222", true),
        ] {
            let mut settings = settings(url);
            assert_eq!(settings.requires_tls(), requires_tls, "{url}");

            settings.allow_unencrypted = true;
            assert!(!settings.requires_tls(), "{url}");
            settings.tls_ca_file = Some("/ca.pem".into());
            assert!(settings.requires_tls(), "{url}");
        }
    }

    #[test]
    fn settings_that_do_not_fit_are_refused() {
        let fine = BusSettings::default();
        let with_prefix = |prefix: &str| BusSettings {
            prefix: prefix.to_owned(),
            ..BusSettings::default()
        };
        let mut two_replicas = BusSettings::default();
        two_replicas.streams.replicas = 2;
        let mut window = BusSettings::default();
        window.streams.events_max_age_seconds = 60;

        let mut short = BusSettings::default();
        short.streams.duplicate_window_seconds = 59;

        assert!(fine.validate().is_ok());
        assert!(matches!(
            short.validate(),
            Err(BusSettingsError::DuplicateWindow { seconds: 59 })
        ));
        assert!(short.validate_for_server().is_ok());
        assert!(with_prefix("t17_a-b").validate().is_ok());
        assert!(matches!(
            with_prefix("a.b").validate(),
            Err(BusSettingsError::Prefix { .. })
        ));
        for prefix in ["", "_INBOX.>", "a b", "a..b", "*"] {
            let settings = BusSettings {
                inbox_prefix: prefix.to_owned(),
                ..BusSettings::default()
            };
            let refused = settings.validate();
            assert!(
                matches!(refused, Err(BusSettingsError::InboxPrefix { .. })),
                "{prefix}"
            );
        }
        assert!(matches!(
            two_replicas.validate(),
            Err(BusSettingsError::Replicas { replicas: 2 })
        ));
        assert!(matches!(
            window.validate(),
            Err(BusSettingsError::DuplicateWindow { seconds: 600 })
        ));
    }

    #[test]
    fn credentials_are_named_by_their_files() {
        for (text, shown) in [
            (r#"{"token_file": "/run/t"}"#, "TokenFile(\"/run/t\")"),
            (
                r#"{"nkey_seed_file": "/run/n"}"#,
                "NkeySeedFile(\"/run/n\")",
            ),
            (
                r#"{"user_password": {"user": "mesh", "password_file": "/run/p"}}"#,
                "UserPassword { user: \"mesh\", password_file: \"/run/p\" }",
            ),
        ] {
            let credentials: BusCredentials = serde_json::from_str(text).unwrap();

            assert_eq!(format!("{credentials:?}"), shown);
        }
        assert!(serde_json::from_str::<BusCredentials>(r#"{"token": "t"}"#).is_err());
    }
}
