//! Each account's server and sign-in.

use std::time::Duration;

use mailmesh_domain::{Authorisation, Protocol};
use mailmesh_mail::imap::{ImapLimits, SelectMode, Session};
use mailmesh_mail::smtp::{Connection, SmtpSettings};
use mailmesh_mail::{Credentials, Server, client_config};
use mailmesh_secrets::OpeningKeys;
use mailmesh_store::account::{self, Account};
use mailmesh_store::grant::{self, Grant};
use mailmesh_store::{Database, StoreError};

use super::{Finding, chain};
use crate::config::Config;

const LIMIT: Duration = Duration::from_secs(20);

pub(super) async fn examine(config: &Config, database: &Database, findings: &mut Vec<Finding>) {
    let keys = config.keys.opening_keys().ok();
    let accounts = match load(database).await {
        Ok(accounts) => accounts,
        Err(error) => {
            findings.push(Finding::bad(
                "the accounts",
                chain(&error),
                "Apply the migrations first: mailmesh migrate",
            ));
            return;
        }
    };
    for (account, grant) in accounts {
        findings.push(check(&account, grant.as_ref(), keys.as_ref()).await);
    }
}

async fn load(database: &Database) -> Result<Vec<(Account, Option<Grant>)>, StoreError> {
    let mut tx = database.begin().await?;
    let accounts = account::list(&mut tx).await?;
    let ids: Vec<_> = accounts
        .iter()
        .filter_map(|account| account.grant_id)
        .collect();
    let grants = grant::list_by_ids(&mut tx, &ids).await?;
    Ok(accounts
        .into_iter()
        .map(|account| {
            let grant = grants
                .iter()
                .find(|grant| Some(grant.id) == account.grant_id);
            (account, grant.cloned())
        })
        .collect())
}

async fn check(account: &Account, grant: Option<&Grant>, keys: Option<&OpeningKeys>) -> Finding {
    let what = format!(
        "account {} ({} at {}:{})",
        account.key, account.protocol, account.host, account.port
    );
    if !account.is_enabled {
        return Finding::well(format!("{what}: disabled"));
    }
    let Some(keys) = keys else {
        return Finding::bad(what, "the keys are missing", "Name them in [keys].");
    };
    let credentials = match credentials(account, grant, keys) {
        Ok(credentials) => credentials,
        Err((problem, action)) => return Finding::bad(what, problem, action),
    };
    let tls = match client_config(account.ca_pem.as_deref()) {
        Ok(tls) => tls,
        Err(error) => return Finding::bad(what, chain(&error), "Correct the account's ca_pem."),
    };
    let server = Server {
        host: account.host.clone(),
        port: account.port,
        encryption: account.encryption,
        tls,
    };
    match tokio::time::timeout(LIMIT, sign_in(account, &server, &credentials)).await {
        Ok(Ok(())) => Finding::well(format!("{what}: signed in")),
        Ok(Err((problem, verdict))) => Finding::bad(
            what,
            problem,
            format!("{:?} must act ({:?}).", verdict.who, verdict.kind),
        ),
        Err(_) => Finding::bad(
            what,
            format!("no sign-in within {} s", LIMIT.as_secs()),
            "Check host, port and encryption, and whether a firewall is between.",
        ),
    }
}

fn credentials(
    account: &Account,
    grant: Option<&Grant>,
    keys: &OpeningKeys,
) -> Result<Credentials, (String, String)> {
    let opened = |error: mailmesh_secrets::OpenError| {
        (
            error.to_string(),
            "Use the key file that the services use.".to_owned(),
        )
    };
    let login = account.login.clone();
    match account.authorisation {
        Authorisation::None => Ok(Credentials::None),
        Authorisation::Password => {
            let sealed = account.password.as_ref();
            let sealed = sealed.ok_or_else(|| {
                (
                    "has no password".to_owned(),
                    "Set its password by the admin API.".to_owned(),
                )
            })?;
            let context = Account::password_context(account.id);
            let password = keys.open(sealed, &context).map_err(opened)?;
            Ok(Credentials::Password { login, password })
        }
        Authorisation::OAuth2 => {
            let grant = grant.ok_or_else(|| {
                (
                    "nobody has signed in".to_owned(),
                    format!("Sign in: POST /v1/accounts/{}/sign-in", account.key),
                )
            })?;
            let context = Grant::access_context(grant.id);
            let access_token = keys.open(&grant.access_token, &context).map_err(opened)?;
            Ok(Credentials::OAuth2 {
                login,
                access_token,
            })
        }
    }
}

async fn sign_in(
    account: &Account,
    server: &Server,
    credentials: &Credentials,
) -> Result<(), (String, mailmesh_domain::Verdict)> {
    match account.protocol {
        Protocol::Imap => {
            let result = async {
                let limits = ImapLimits::default();
                let mut session = Session::connect(server, credentials, limits).await?;
                for folder in &account.folders {
                    session.select(folder, SelectMode::ReadOnly).await?;
                }
                session.logout().await;
                Ok(())
            };
            result
                .await
                .map_err(|error: mailmesh_mail::imap::ImapError| (chain(&error), error.verdict()))
        }
        Protocol::Smtp => {
            let settings = SmtpSettings::default();
            let connected = Connection::connect(server, credentials, &settings).await;
            let connection = connected.map_err(|error| (chain(&error), error.verdict()))?;
            connection.quit().await;
            Ok(())
        }
    }
}
