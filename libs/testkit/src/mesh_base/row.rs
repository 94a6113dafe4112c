use std::collections::BTreeMap;
use std::time::Duration;

use mailmesh_domain::{
    AccountId, AfterReceive, Authorisation, ClientConfigurationId, Direction, Encryption, Flow,
    GrantId, GrantState, Key, Protocol,
};
use mailmesh_sandbox::Sandbox;
use mailmesh_secrets::{ExposeSecret, SealContext, SealedSecret, SecretString};
use mailmesh_store::RowSecret;
use mailmesh_store::account::{Account, ServerAddress};
use mailmesh_store::client_configuration::ClientConfiguration;
use mailmesh_store::grant::Grant;

use super::MeshBase;

/// Where the mail of accounts lies.
#[derive(Debug, Clone)]
pub struct MailHost {
    /// The port of IMAP with TLS from the first byte.
    pub imap_port: u16,
    /// The port of POP3 with TLS from the first byte.
    pub pop3_port: u16,
    /// The port of submission with TLS from the first byte.
    pub smtp_port: u16,
    /// The authority behind its certificate.
    pub ca_pem: String,
}

impl From<&Sandbox> for MailHost {
    fn from(sandbox: &Sandbox) -> Self {
        let mail = sandbox.addresses().mail;
        Self {
            imap_port: mail.imap_tls.port(),
            pop3_port: mail.pop3_tls.port(),
            smtp_port: mail.smtp_tls.port(),
            ca_pem: sandbox.ca_pem().to_owned(),
        }
    }
}

/// The tokens of a grant, opened.
#[derive(Debug, PartialEq, Eq)]
pub struct GrantTokens {
    /// The access token.
    pub access: String,
    /// The refresh token.
    pub refresh: Option<String>,
}

/// Lets an account sign in with a grant instead of a password.
pub fn use_grant(account: &mut Account, client: ClientConfigurationId, grant: GrantId) {
    account.authorisation = Authorisation::OAuth2;
    account.password = RowSecret::Absent;
    account.client_configuration_id = Some(client);
    account.grant_id = Some(grant);
}

/// Rows with what a test rarely cares for filled in; none of these stores anything.
impl MeshBase {
    /// Returns a client configuration `sandbox` for both directions, without endpoints or secret.
    pub fn client_row(&self, client_id: &str) -> anyhow::Result<ClientConfiguration> {
        let now = self.clock.now();
        Ok(ClientConfiguration {
            is_redirect_shared: true,
            token_origin: None,
            id: ClientConfigurationId::generate(&*self.clock),
            key: Key::try_new("sandbox")?,
            name: "Sandbox".to_owned(),
            profile: "custom".to_owned(),
            client_id: client_id.to_owned(),
            flow: Flow::User,
            client_secret: RowSecret::Absent,
            private_key: RowSecret::Absent,
            certificate_pem: None,
            token_endpoint_auth: None,
            issuer: None,
            authorize_url: None,
            token_url: None,
            userinfo_url: None,
            jwks_url: None,
            scopes: Vec::new(),
            identity_claim: None,
            extra_authorize_parameters: BTreeMap::new(),
            ca_pem: None,
            is_inbound: true,
            is_outbound: true,
            refusal: None,
            created_at: now,
            updated_at: now,
        })
    }

    /// Returns an account for the mailbox `login`, which cannot sign in yet.
    pub fn account_row(
        &self,
        host: &MailHost,
        key: &str,
        protocol: Protocol,
        login: &str,
    ) -> anyhow::Result<Account> {
        let now = self.clock.now();
        let port = match protocol {
            Protocol::Imap => host.imap_port,
            Protocol::Pop3 => host.pop3_port,
            Protocol::Smtp => host.smtp_port,
        };
        let (folders, from_addresses) = match protocol.usual_direction() {
            Direction::Inbound => (vec!["INBOX".to_owned()], Vec::new()),
            Direction::Outbound => (Vec::new(), vec![login.to_owned()]),
        };
        Ok(Account {
            id: AccountId::generate(&*self.clock),
            key: Key::try_new(key)?,
            name: key.to_owned(),
            is_enabled: true,
            direction: protocol.usual_direction(),
            protocol,
            server: Some(ServerAddress {
                host: "localhost".to_owned(),
                port,
                encryption: Encryption::Tls,
            }),
            is_host_trusted: true,
            authorisation: Authorisation::OAuth2,
            login: login.to_owned(),
            password: RowSecret::Absent,
            client_configuration_id: None,
            grant_id: None,
            signs_in_for: None,
            from_addresses,
            folders,
            receive_existing: true,
            poll_interval_seconds: 60,
            after_receive: AfterReceive::Keep,
            delete_after_days: None,
            move_to: None,
            max_connections: 2,
            ca_pem: Some(host.ca_pem.clone()),
            revision: 1,
            created_at: now,
            updated_at: now,
        })
    }

    /// As `account_row`, for an account that signs in with a password.
    pub fn password_account_row(
        &self,
        host: &MailHost,
        key: &str,
        protocol: Protocol,
        (login, password): (&str, &str),
    ) -> anyhow::Result<Account> {
        let account = self.account_row(host, key, protocol, login)?;
        let context = Account::password_context(account.id);
        Ok(Account {
            authorisation: Authorisation::Password,
            password: RowSecret::Sealed(self.seal(password, &context)?),
            ..account
        })
    }

    /// Returns an active grant of its first generation with this access token, good for an hour.
    pub fn grant_row(
        &self,
        id: GrantId,
        client: ClientConfigurationId,
        address: &str,
        access_token: &str,
    ) -> anyhow::Result<Grant> {
        let now = self.clock.now();
        Ok(Grant {
            token_origin: None,
            id,
            client_configuration_id: client,
            flow: Flow::User,
            subject: address.to_owned(),
            address: Some(address.to_owned()),
            scopes: Vec::new(),
            state: GrantState::Active,
            problem: None,
            access_token: self.seal(access_token, &Grant::access_context(id))?,
            refresh_token: None,
            generation: 1,
            access_expires_at: now + Duration::from_hours(1),
            refresh_due_at: now + Duration::from_mins(50),
            refresh_expires_at: None,
            failures: 0,
        })
    }

    /// Opens the tokens of a grant.
    pub fn opened(&self, grant: &Grant) -> anyhow::Result<GrantTokens> {
        let open = |sealed: &SealedSecret, context: SealContext| {
            let opened = self.keys.open(sealed, &context)?;
            anyhow::Ok(opened.expose_secret().to_owned())
        };
        let refresh = grant.refresh_token.as_ref();
        Ok(GrantTokens {
            access: open(&grant.access_token, Grant::access_context(grant.id))?,
            refresh: refresh
                .map(|sealed| open(sealed, Grant::refresh_context(grant.id)))
                .transpose()?,
        })
    }

    /// Seals the secret of a client configuration.
    pub fn seal_client_secret(
        &self,
        id: ClientConfigurationId,
        secret: &str,
    ) -> anyhow::Result<RowSecret> {
        let sealed = self.seal(secret, &ClientConfiguration::secret_context(id))?;
        Ok(RowSecret::Sealed(sealed))
    }

    /// Seals a text for its place.
    pub fn seal(&self, text: &str, context: &SealContext) -> anyhow::Result<SealedSecret> {
        let text = SecretString::from(text);
        Ok(self.keys.sealing_key().seal(&text, context)?)
    }
}
