//! Secrets are sealed anew under another key, so that the old one can go.

use std::sync::Arc;

use mailmesh_domain::{GrantId, Protocol, SystemClock};
use mailmesh_secrets::{ExposeSecret, OpeningKeys, SealContext, SealedSecret};
use mailmesh_store::account::{self, Account};
use mailmesh_store::client_configuration::{self, ClientConfiguration};
use mailmesh_store::grant::Grant;
use mailmesh_testkit::{MailHost, MeshBase};

use crate::command::{Ended, Folder, run};

async fn reseal(base: &MeshBase, keys: &OpeningKeys) -> Ended {
    let folder = Folder::new("reseal");
    let keys = folder.write("opening.key", keys.to_file_text().unwrap().expose_secret());
    let url = base.address.postgres_url.expose_secret();
    run(
        &["reseal"],
        &[
            ("MAILMESH_POSTGRES__URL", url),
            ("MAILMESH_KEYS__OPENING_KEY_FILE", &keys),
        ],
    )
    .await
}

/// Stores one secret of each kind.
async fn fill(base: &MeshBase) -> anyhow::Result<GrantId> {
    let row = base.client_row("client")?;
    let client = ClientConfiguration {
        client_secret: base.seal_client_secret(row.id, "client secret")?,
        ..row
    };
    base.insert_client(&client).await?;
    let id = GrantId::generate(&SystemClock);
    let refresh = base.seal("refresh token", &Grant::refresh_context(id))?;
    let grant = Grant {
        refresh_token: Some(refresh),
        ..base.grant_row(id, client.id, "a@example.com", "access token")?
    };
    base.save_grant(&grant).await?;
    let host = MailHost {
        imap_port: 1,
        pop3_port: 1,
        smtp_port: 1,
        ca_pem: String::new(),
    };
    let login = ("a@example.com", "password");
    let account = base.password_account_row(&host, "a", Protocol::Imap, login)?;
    base.insert_account(&account).await?;
    Ok(id)
}

async fn stored(
    base: &MeshBase,
    grant: GrantId,
) -> anyhow::Result<Vec<(Option<SealedSecret>, SealContext, &'static str)>> {
    let mut tx = base.begin().await?;
    let clients = client_configuration::list(&mut tx).await?;
    let accounts = account::list(&mut tx).await?;
    let grant = base.grant(grant).await?;
    let mut all = vec![
        (
            Some(grant.access_token.clone()),
            Grant::access_context(grant.id),
            "access token",
        ),
        (
            grant.refresh_token.clone(),
            Grant::refresh_context(grant.id),
            "refresh token",
        ),
    ];
    for client in clients {
        let context = ClientConfiguration::secret_context(client.id);
        let found = client_configuration::find(&mut tx, client.id).await?;
        let secret = found.and_then(|found| found.client_secret.sealed().cloned());
        all.push((secret, context, "client secret"));
    }
    for account in accounts {
        let context = Account::password_context(account.id);
        all.push((account.password.sealed().cloned(), context, "password"));
    }
    Ok(all)
}

#[tokio::test]
async fn every_secret_opens_with_the_new_key_alone() {
    let base = MeshBase::fresh(Arc::new(SystemClock)).await.unwrap();
    let grant = fill(&base).await.unwrap();
    let new = OpeningKeys::generate().unwrap();
    let [new_text, old_text] = [&new, &base.keys].map(|keys| keys.to_file_text().unwrap());
    let both = format!("{}{}", new_text.expose_secret(), old_text.expose_secret());
    let both = OpeningKeys::parse(&both.into()).unwrap();

    let lacking = reseal(&base, &new).await;
    let first = reseal(&base, &both).await;
    let second = reseal(&base, &new).await;

    assert_eq!(lacking.code, Some(1), "{}", lacking.output);
    let old_key = base.keys.key_ids()[0].to_string();
    assert!(lacking.output.contains(&old_key), "{}", lacking.output);
    assert_eq!(first.code, Some(0), "{}", first.output);
    assert_eq!(
        first.output.matches("1 of 1").count(),
        4,
        "{}",
        first.output
    );
    assert_eq!(second.code, Some(0), "{}", second.output);
    assert_eq!(
        second.output.matches("0 of 1").count(),
        4,
        "{}",
        second.output
    );
    let all = stored(&base, grant).await.unwrap();
    assert_eq!(all.len(), 4);
    for (sealed, context, plain) in all {
        let opened = new.open(&sealed.unwrap(), &context).unwrap();
        assert_eq!(opened.expose_secret(), plain);
    }
}
