use std::fmt;
use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

/// The provider whose behaviour is imitated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Personality {
    /// Google: no new refresh token on refresh, `access_type=offline`, long access tokens.
    Google,
    /// Microsoft: AADSTS bodies, `offline_access`, old refresh tokens stay valid, long access tokens.
    Microsoft,
    /// RFC bodies, `iss` in the answer, rotation with reuse detection, short access tokens.
    #[default]
    Standard,
}

/// Everything that can be chosen before the sandbox starts.
#[expect(
    clippy::struct_excessive_bools,
    reason = "switches of a configuration, independent of each other"
)]
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Address to listen on; loopback, unless `reachable_by_others`.
    pub bind: IpAddr,
    /// Lets `bind` be an address that other machines reach; all of them may then read every mailbox.
    pub reachable_by_others: bool,
    /// The name by which clients reach it: stands in the issuer and in the certificate; `bind` when left out.
    pub host: Option<String>,
    /// Port of the OAuth server and the control API; 0 takes any free one.
    pub oauth_port: u16,
    /// Port of IMAP with TLS from the first byte; 0 takes any free one.
    pub imap_tls_port: u16,
    /// Port of plain IMAP with STARTTLS; 0 takes any free one.
    pub imap_port: u16,
    /// Port of POP3 with TLS from the first byte; 0 takes any free one.
    pub pop3_tls_port: u16,
    /// Port of plain POP3 with STLS; 0 takes any free one.
    pub pop3_port: u16,
    /// Port of submission with TLS from the first byte; 0 takes any free one.
    pub smtp_tls_port: u16,
    /// Port of plain submission with STARTTLS; 0 takes any free one.
    pub smtp_port: u16,
    /// The provider to imitate.
    pub personality: Personality,
    /// The domain whose addresses are local.
    pub domain: String,
    /// Mailboxes that exist from the start.
    pub mailboxes: Vec<MailboxSettings>,
    /// Life of an access token.
    pub access_token_seconds: u64,
    /// Serves OAuth over TLS, with a certificate of the sandbox's own authority.
    pub https: bool,
    /// OAuth clients that exist from the start.
    pub clients: Vec<ClientSettings>,
    /// What some of the clients may do in their own name, and the keys that they sign with.
    pub applications: Vec<ApplicationSettings>,
    /// Consents without a page when `login_hint` names a mailbox.
    pub auto_consent: bool,
    /// Asks for the mailbox's password on the consent page.
    pub ask_password: bool,
    /// Keeps a copy of each submitted mail in the sender's Sent folder.
    pub auto_sent_copy: bool,
    /// Accepts an envelope sender other than the signed-in mailbox.
    pub allow_any_sender: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            reachable_by_others: false,
            host: None,
            oauth_port: 0,
            imap_tls_port: 0,
            imap_port: 0,
            pop3_tls_port: 0,
            pop3_port: 0,
            smtp_tls_port: 0,
            smtp_port: 0,
            personality: Personality::default(),
            domain: "sandbox.test".to_owned(),
            mailboxes: Vec::new(),
            access_token_seconds: 3_600,
            https: false,
            clients: Vec::new(),
            applications: Vec::new(),
            auto_consent: false,
            ask_password: false,
            auto_sent_copy: false,
            allow_any_sender: false,
        }
    }
}

/// A mailbox and the password that opens it without OAuth.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MailboxSettings {
    /// The address, which is also the login.
    pub address: String,
    pub password: String,
}

impl fmt::Debug for MailboxSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("MailboxSettings")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// An OAuth client known to the authorisation server.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientSettings {
    /// The public identifier.
    pub client_id: String,
    /// The secret; empty for a public client, which must then use PKCE.
    #[serde(default)]
    pub client_secret: String,
    /// Where answers may be sent; compared character for character.
    pub redirect_uris: Vec<String>,
}

impl fmt::Debug for ClientSettings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ClientSettings")
            .field("client_id", &self.client_id)
            .field("redirect_uris", &self.redirect_uris)
            .finish_non_exhaustive()
    }
}

/// What a client may do in its own name, and the key that it signs with. A client of another kind has no such entry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ApplicationSettings {
    /// The client, or the address of a service account, which is no client otherwise.
    pub client_id: String,
    /// The public key or certificate in PEM that statements are checked with; empty for who has a secret.
    pub public_key: String,
    /// What its own tokens are good for; empty for a client that has none.
    pub scopes: Vec<String>,
    /// The mailboxes that it may open; empty for all.
    pub mailboxes: Vec<String>,
}

impl ApplicationSettings {
    pub(crate) fn may_open(&self, address: &str) -> bool {
        let mut mailboxes = self.mailboxes.iter();
        self.mailboxes.is_empty() || mailboxes.any(|other| other.eq_ignore_ascii_case(address))
    }
}
