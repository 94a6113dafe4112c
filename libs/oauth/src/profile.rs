//! What is known of the big providers beforehand, as data that an administrator may override.
//!
//! Google: `developers.google.com/identity/protocols/oauth2/web-server` and the Gmail IMAP/SMTP page.
//! Microsoft: the Entra pages on national clouds and the authorisation code flow, and the Exchange
//! page on OAuth for legacy protocols; hosts of the sovereign clouds as mail clients ship them.

mod app;

use mailmesh_domain::{Encryption, Flow, Protocol, TokenEndpointAuth};
use serde::{Deserialize, Serialize};
use url::Url;

use crate::endpoints::Endpoints;

/// A provider whose settings are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// Gmail and Google Workspace.
    Google,
    /// Google Workspace by a service account with domain-wide delegation.
    GoogleServiceAccount,
    /// Microsoft 365 and Outlook.com, in all clouds.
    Microsoft,
    /// Microsoft 365 by an application that opens mailboxes in its own name.
    MicrosoftAppOnly,
    /// Any other: the administrator gives issuer or endpoints.
    Custom,
}

/// A mail server that belongs to a provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailServer {
    /// What it speaks.
    pub protocol: Protocol,
    /// Its name.
    pub host: &'static str,
    pub port: u16,
    /// How the connection is protected.
    pub encryption: Encryption,
}

/// What a profile sets where the administrator does not.
#[derive(Debug, Clone)]
pub struct Defaults {
    /// The endpoints; absent for custom providers.
    pub endpoints: Option<Endpoints>,
    /// How the client proves itself.
    pub auth: TokenEndpointAuth,
    /// Scopes for inbound accounts, with those that name the person.
    pub inbound_scopes: Vec<String>,
    /// The same for accounts of protocols that need others. They are not asked for with the others: a tenant's administrator
    /// consents to each.
    pub protocol_scopes: Vec<(Protocol, Vec<String>)>,
    /// Scopes for outbound accounts, with those that name the person.
    pub outbound_scopes: Vec<String>,
    /// Further parameters of the authorise URL.
    pub extra_authorize: Vec<(String, String)>,
    /// Whether scopes are sent again on refresh.
    pub refresh_sends_scopes: bool,
    /// The provider's mail servers.
    pub mail_servers: Vec<MailServer>,
    /// Where the provider explains how to register a client.
    pub documentation: &'static str,
}

/// No profile has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown provider profile: use google, google_service_account, microsoft, microsoft_app_only or custom"
)]
pub struct UnknownProfile;

struct Cloud {
    login_hosts: &'static [&'static str],
    resource: &'static str,
    /// For IMAP and POP3.
    mailbox: &'static str,
    smtp: &'static str,
}

const CLOUDS: [Cloud; 3] = [
    Cloud {
        login_hosts: &[
            "login.microsoftonline.com",
            "login.microsoft.com",
            "login.windows.net",
        ],
        resource: "https://outlook.office.com/",
        mailbox: "outlook.office365.com",
        smtp: "smtp.office365.com",
    },
    Cloud {
        login_hosts: &["login.microsoftonline.us"],
        resource: "https://outlook.office365.us/",
        mailbox: "outlook.office365.us",
        smtp: "smtp.office365.us",
    },
    Cloud {
        login_hosts: &["login.partner.microsoftonline.cn", "login.chinacloudapi.cn"],
        resource: "https://partner.outlook.cn/",
        mailbox: "partner.outlook.cn",
        smtp: "partner.outlook.cn",
    },
];

impl Profile {
    /// All profiles.
    pub const ALL: [Self; 5] = [
        Self::Google,
        Self::GoogleServiceAccount,
        Self::Microsoft,
        Self::MicrosoftAppOnly,
        Self::Custom,
    ];

    /// Returns the name used in configuration and database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Google => "google",
            Self::GoogleServiceAccount => "google_service_account",
            Self::Microsoft => "microsoft",
            Self::MicrosoftAppOnly => "microsoft_app_only",
            Self::Custom => "custom",
        }
    }

    /// Returns the flows that work with the provider, the usual one first.
    pub const fn flows(self) -> &'static [Flow] {
        match self {
            Self::Google | Self::Microsoft => &[Flow::User],
            Self::GoogleServiceAccount => &[Flow::JwtBearer],
            Self::MicrosoftAppOnly => &[Flow::ClientCredentials],
            Self::Custom => &[Flow::User, Flow::ClientCredentials],
        }
    }

    /// Returns whether the issuer is an authority of Entra.
    pub const fn is_microsoft(self) -> bool {
        matches!(self, Self::Microsoft | Self::MicrosoftAppOnly)
    }

    /// Returns what the profile sets. `base_url` is Microsoft's authority, such as
    /// `https://login.microsoftonline.com/<tenant>/`; `common` when absent.
    pub fn defaults(self, base_url: Option<&Url>) -> Defaults {
        match self {
            Self::Google => google(),
            Self::GoogleServiceAccount => app::google_service_account(),
            Self::Microsoft => microsoft(base_url),
            Self::MicrosoftAppOnly => app::microsoft_app_only(base_url),
            Self::Custom => custom(),
        }
    }
}

impl std::str::FromStr for Profile {
    type Err = UnknownProfile;

    fn from_str(text: &str) -> Result<Self, UnknownProfile> {
        Self::ALL
            .into_iter()
            .find(|profile| profile.as_str() == text)
            .ok_or(UnknownProfile)
    }
}

fn google() -> Defaults {
    let scopes = owned(["openid", "email", "https://mail.google.com/"]);
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    Defaults {
        endpoints: google_endpoints(),
        auth: TokenEndpointAuth::ClientSecretPost,
        inbound_scopes: scopes.clone(),
        // One scope serves all protocols.
        protocol_scopes: vec![(Protocol::Pop3, scopes.clone())],
        outbound_scopes: scopes,
        // Without these a second sign-in yields no refresh token.
        extra_authorize: vec![pair("access_type", "offline"), pair("prompt", "consent")],
        refresh_sends_scopes: false,
        mail_servers: servers(
            ["imap.gmail.com", "pop.gmail.com", "smtp.gmail.com"],
            Encryption::Tls,
        ),
        documentation: "https://developers.google.com/identity/protocols/oauth2/web-server",
    }
}

fn google_endpoints() -> Option<Endpoints> {
    let url = |text| Url::parse(text).ok();
    Some(Endpoints {
        issuer: Some("https://accounts.google.com".to_owned()),
        userinfo: url("https://openidconnect.googleapis.com/v1/userinfo"),
        jwks: url("https://www.googleapis.com/oauth2/v3/certs"),
        auth_methods: vec![
            TokenEndpointAuth::ClientSecretPost,
            TokenEndpointAuth::ClientSecretBasic,
        ],
        ..Endpoints::new(
            url("https://accounts.google.com/o/oauth2/v2/auth")?,
            url("https://oauth2.googleapis.com/token")?,
        )
    })
}

fn cloud_of(base_url: Option<&Url>) -> &'static Cloud {
    let [global, ..] = &CLOUDS;
    let host = base_url.and_then(Url::host_str);
    host.and_then(|host| {
        CLOUDS
            .iter()
            .find(|cloud| cloud.login_hosts.contains(&host))
    })
    .unwrap_or(global)
}

fn microsoft(base_url: Option<&Url>) -> Defaults {
    let cloud = cloud_of(base_url);
    let scopes = |name: &str| {
        let mail = format!("{}{name}", cloud.resource);
        let mut scopes = owned(["openid", "email", "profile", "offline_access"]);
        scopes.push(mail);
        scopes
    };
    Defaults {
        endpoints: microsoft_endpoints(base_url),
        auth: TokenEndpointAuth::ClientSecretPost,
        inbound_scopes: scopes("IMAP.AccessAsUser.All"),
        protocol_scopes: vec![(Protocol::Pop3, scopes("POP.AccessAsUser.All"))],
        outbound_scopes: scopes("SMTP.Send"),
        extra_authorize: Vec::new(),
        // Without them the new token may be for another resource than mail.
        refresh_sends_scopes: true,
        mail_servers: servers(
            [cloud.mailbox, cloud.mailbox, cloud.smtp],
            Encryption::StartTls,
        ),
        documentation: "https://learn.microsoft.com/exchange/client-developer/legacy-protocols/how-to-authenticate-an-imap-pop-smtp-application-by-using-oauth",
    }
}

fn microsoft_endpoints(base_url: Option<&Url>) -> Option<Endpoints> {
    let common = Url::parse("https://login.microsoftonline.com/common").ok()?;
    let mut authority = base_url.cloned().unwrap_or(common);
    authority.set_query(None);
    authority.set_fragment(None);
    // Administrators paste the authority with and without version and slash.
    let path = authority.path().trim_end_matches('/');
    let tenant = path.strip_suffix("/v2.0").unwrap_or(path).to_owned();
    let at = |suffix: &str| {
        let mut url = authority.clone();
        url.set_path(&format!("{tenant}{suffix}"));
        url
    };
    let named = tenant.trim_start_matches('/');
    let issued_by = if is_guid(named) { named } else { "{tenantid}" };
    let origin = authority.origin().ascii_serialization();
    Some(Endpoints {
        issuer: Some(format!("{origin}/{issued_by}/v2.0")),
        jwks: Some(at("/discovery/v2.0/keys")),
        auth_methods: vec![
            TokenEndpointAuth::ClientSecretPost,
            TokenEndpointAuth::ClientSecretBasic,
        ],
        ..Endpoints::new(at("/oauth2/v2.0/authorize"), at("/oauth2/v2.0/token"))
    })
}

fn custom() -> Defaults {
    Defaults {
        endpoints: None,
        auth: TokenEndpointAuth::ClientSecretBasic,
        inbound_scopes: owned(["openid", "email", "offline_access"]),
        protocol_scopes: Vec::new(),
        outbound_scopes: owned(["openid", "email", "offline_access"]),
        extra_authorize: Vec::new(),
        refresh_sends_scopes: false,
        mail_servers: Vec::new(),
        documentation: "https://openid.net/specs/openid-connect-discovery-1_0.html",
    }
}

fn servers([imap, pop3, smtp]: [&'static str; 3], submission: Encryption) -> Vec<MailServer> {
    [
        (Protocol::Imap, imap, Encryption::Tls),
        (Protocol::Pop3, pop3, Encryption::Tls),
        (Protocol::Smtp, smtp, submission),
    ]
    .into_iter()
    .map(|(protocol, host, encryption)| MailServer {
        protocol,
        host,
        port: protocol.default_port(encryption),
        encryption,
    })
    .collect()
}

fn owned<const N: usize>(texts: [&str; N]) -> Vec<String> {
    texts.map(str::to_owned).to_vec()
}

/// Returns whether Microsoft's metadata at `expected` may name the issuer `answered`: tenants asked
/// for by domain or by `consumers` are answered by id.
pub(crate) fn is_microsoft_alias(expected: &str, answered: &str) -> bool {
    let split = |text: &str| -> Option<(String, String, String)> {
        let url = Url::parse(text).ok()?;
        let (tenant, rest) = url.path().trim_start_matches('/').split_once('/')?;
        Some((
            url.host_str()?.to_owned(),
            tenant.to_owned(),
            rest.to_owned(),
        ))
    };
    let (Some(expected), Some(answered)) = (split(expected), split(answered)) else {
        return false;
    };
    let is_microsoft = CLOUDS
        .iter()
        .any(|cloud| cloud.login_hosts.contains(&expected.0.as_str()));
    is_microsoft
        && expected.0 == answered.0
        && expected.2 == answered.2
        && is_guid(&answered.1)
        && !is_guid(&expected.1)
}

fn is_guid(text: &str) -> bool {
    let lengths = text.split('-').map(str::len);
    lengths.eq([8, 4, 4, 4, 12]) && text.bytes().all(|b| b == b'-' || b.is_ascii_hexdigit())
}

pub use app::is_shared_authority;

#[cfg(test)]
mod tests;
