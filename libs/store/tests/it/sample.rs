//! Rows to begin with.

use anyhow::{Context, Result};
use mailmesh_domain::{
    AccountId, AfterReceive, Authorisation, ClientConfigurationId, Direction, Encryption,
    FailureCause, Flow, GrantId, GrantState, Key, MailId, Position, Protocol, ReplicaId,
    SystemClock, UncertainPolicy,
};
use mailmesh_events::Problem;
use mailmesh_secrets::{SealedSecret, sha256};
use mailmesh_store::account::{self, Account, ServerAddress};
use mailmesh_store::account_status::SeenProof;
use mailmesh_store::client_configuration::{self, ClientConfiguration};
use mailmesh_store::grant::{self, ClaimRules, ClientShares, Grant};
use mailmesh_store::lease::{self, LeaseTerm};
use mailmesh_store::listed_mail::ListingEntry;
use mailmesh_store::mailbox::ReceivedMail;
use mailmesh_store::outbound_mail::{NewOutboundMail, Recipient};
use mailmesh_store::{RowSecret, Tx, progress};
use time::OffsetDateTime;
use time::macros::datetime;

pub(crate) const NOW: OffsetDateTime = datetime!(2026-11-24 12:00 UTC);
pub(crate) const LATER: OffsetDateTime = datetime!(2026-11-24 13:00 UTC);

pub(crate) fn replica() -> ReplicaId {
    ReplicaId::generate(&SystemClock)
}

pub(crate) fn mail_id() -> MailId {
    MailId::generate(&SystemClock)
}

pub(crate) fn problem() -> Problem {
    Problem::new("the server did not answer", FailureCause::Transient)
}

/// Has a new replica take over an account that nobody holds.
pub(crate) async fn term(
    tx: &mut Tx,
    account: AccountId,
    direction: Direction,
) -> Result<LeaseTerm> {
    let id = replica();
    mailmesh_store::replica::beat(tx, id, "inbound-fetcher").await?;
    lease::acquire(tx, id, direction, i64::MAX).await?;
    let mut terms = lease::list_terms(tx, id, &[account]).await?;
    terms.pop().context("the account is held by another")
}

/// Bytes with the shape of a sealed secret; `mark` tells one from another.
pub(crate) fn sealed(mark: u8) -> Result<SealedSecret> {
    let mut bytes = vec![1];
    bytes.resize(90, mark);
    Ok(SealedSecret::from_bytes(bytes)?)
}

pub(crate) fn account(key: &str, direction: Direction) -> Result<Account> {
    Ok(Account {
        id: AccountId::generate(&SystemClock),
        key: Key::try_new(key)?,
        name: "Support".to_owned(),
        is_enabled: true,
        direction,
        protocol: match direction {
            Direction::Inbound => Protocol::Imap,
            Direction::Outbound => Protocol::Smtp,
        },
        server: Some(ServerAddress {
            host: "mail.example.com".to_owned(),
            port: 993,
            encryption: Encryption::Tls,
        }),
        is_host_trusted: true,
        authorisation: Authorisation::Password,
        login: format!("{key}@example.com"),
        password: RowSecret::Sealed(sealed(7)?),
        client_configuration_id: None,
        grant_id: None,
        signs_in_for: None,
        from_addresses: vec![format!("{key}@example.com")],
        folders: vec!["INBOX".to_owned(), "Reports".to_owned()],
        receive_existing: false,
        poll_interval_seconds: 300,
        after_receive: AfterReceive::Move,
        delete_after_days: None,
        move_to: Some("Done".to_owned()),
        max_connections: 2,
        ca_pem: None,
        revision: 1,
        created_at: NOW,
        updated_at: NOW,
    })
}

/// Stores an account and returns its id.
pub(crate) async fn stored(tx: &mut Tx, key: &str, direction: Direction) -> Result<AccountId> {
    let account = account(key, direction)?;
    account::insert(tx, &account).await?;
    Ok(account.id)
}

/// Stores an outbound account whose lease this replica holds.
pub(crate) async fn held(tx: &mut Tx, key: &str, replica: ReplicaId) -> Result<AccountId> {
    let id = stored(tx, key, Direction::Outbound).await?;
    lease::acquire(tx, replica, Direction::Outbound, 100).await?;
    Ok(id)
}

pub(crate) fn client(key: &str) -> Result<ClientConfiguration> {
    Ok(ClientConfiguration {
        is_redirect_shared: true,
        token_origin: None,
        id: ClientConfigurationId::generate(&SystemClock),
        key: Key::try_new(key)?,
        name: "Example".to_owned(),
        profile: "custom".to_owned(),
        client_id: "client-1".to_owned(),
        flow: Flow::User,
        client_secret: RowSecret::Sealed(sealed(9)?),
        private_key: RowSecret::Sealed(sealed(8)?),
        certificate_pem: None,
        token_endpoint_auth: None,
        issuer: Some("https://id.example.com".to_owned()),
        authorize_url: None,
        token_url: None,
        userinfo_url: None,
        jwks_url: None,
        scopes: vec!["mail".to_owned(), "offline_access".to_owned()],
        identity_claim: None,
        extra_authorize_parameters: [("prompt".to_owned(), "consent".to_owned())].into(),
        ca_pem: None,
        is_inbound: true,
        is_outbound: true,
        refusal: None,
        created_at: NOW,
        updated_at: NOW,
    })
}

pub(crate) async fn stored_client(tx: &mut Tx, key: &str) -> Result<ClientConfigurationId> {
    let client = client(key)?;
    client_configuration::insert(tx, &client).await?;
    Ok(client.id)
}

/// A grant as a sign-in gives it, to be refreshed at `NOW`.
/// What a replica may claim after a while of peace.
pub(crate) fn claiming(replica: ReplicaId) -> ClaimRules<'static> {
    ClaimRules {
        replica,
        claim_for: std::time::Duration::from_mins(1),
        except: &[],
        takes_over: true,
        shares: ClientShares::ALL,
    }
}

pub(crate) fn grant(client: ClientConfigurationId, subject: &str) -> Result<Grant> {
    Ok(Grant {
        token_origin: None,
        id: GrantId::generate(&SystemClock),
        client_configuration_id: client,
        flow: Flow::User,
        subject: subject.to_owned(),
        address: Some(format!("{subject}@example.com")),
        scopes: vec!["mail".to_owned()],
        state: GrantState::Active,
        problem: None,
        access_token: sealed(1)?,
        refresh_token: Some(sealed(2)?),
        generation: 1,
        access_expires_at: LATER,
        refresh_due_at: NOW,
        refresh_expires_at: None,
        failures: 0,
    })
}

pub(crate) async fn stored_grant(
    tx: &mut Tx,
    client: ClientConfigurationId,
    subject: &str,
) -> Result<Grant> {
    let grant = grant(client, subject)?;
    grant::save_sign_in(tx, &grant, NOW).await?;
    Ok(grant)
}

pub(crate) fn outbound(account: AccountId, key: &str) -> NewOutboundMail {
    NewOutboundMail {
        id: mail_id(),
        account_id: account,
        idempotency_key: key.to_owned(),
        is_key_given: true,
        content_sha256: sha256(key.as_bytes()),
        message_id: format!("<{key}@example.com>"),
        envelope_from: "support@example.com".to_owned(),
        recipients: vec![recipient("a@example.org")],
        size_bytes: 1_234,
        raw_sha256: sha256(b"raw"),
        chunks: 1,
        on_uncertain: UncertainPolicy::Hold,
        trace_parent: Some("00-aa-bb-01".to_owned()),
        stream_sequence: 1,
    }
}

pub(crate) fn recipient(address: &str) -> Recipient {
    Recipient::new(address.to_owned())
}

pub(crate) fn received(account: AccountId, uid: u32) -> ReceivedMail {
    ReceivedMail {
        id: mail_id(),
        account_id: account,
        folder: "INBOX".to_owned(),
        position: position(5, uid),
        ordinal: u64::from(uid),
        sha256: sha256(&uid.to_be_bytes()),
        size_bytes: 2_048,
        chunks: 1,
        listed_bytes: None,
        is_post_action_due: false,
    }
}

pub(crate) const fn position(uid_validity: u64, uid: u32) -> Position {
    Position::imap(uid_validity, uid)
}

/// An id and a size as a POP3 server lists them.
pub(crate) fn entry(uidl: &str, listed_bytes: u64) -> ListingEntry {
    ListingEntry {
        position: Position::Pop3 {
            uidl: (!uidl.is_empty()).then(|| uidl.to_owned()),
        },
        listed_bytes: Some(listed_bytes),
    }
}

/// Records a mail of a mailbox that is listed whole.
pub(crate) async fn recorded(
    tx: &mut Tx,
    account: AccountId,
    entry: &ListingEntry,
    content: &[u8],
) -> Result<MailId> {
    let mail = ReceivedMail {
        position: entry.position.clone(),
        sha256: sha256(content),
        listed_bytes: entry.listed_bytes,
        is_post_action_due: true,
        ..received(account, 1)
    };
    progress::record(tx, &[&mail], NOW).await?;
    Ok(mail.id)
}

/// A proof under the revision that [`stored`] gives.
pub(crate) fn proof(account_id: AccountId, at: OffsetDateTime) -> SeenProof {
    SeenProof {
        account_id,
        revision: 1,
        at,
    }
}
