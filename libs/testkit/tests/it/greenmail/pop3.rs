use anyhow::ensure;
use mailmesh_domain::{Encryption, MustAct};
use mailmesh_mail::pop3::{Pop3Error, Pop3Limits, Pop3Source};
use mailmesh_mail::source::{Farewell, FetchReport, FolderAccess, PostAction};
use mailmesh_mail::{Credentials, MailSource as _, Server, client_config};
use mailmesh_secrets::SecretString;
use mailmesh_testkit::{GreenMail, TestServers, eventually};
use tokio::sync::mpsc;

async fn greenmail() -> anyhow::Result<&'static GreenMail> {
    TestServers::shared().await?.greenmail().await
}

async fn connect(credentials: &Credentials) -> anyhow::Result<Box<Pop3Source>> {
    let greenmail = greenmail().await?;
    let server = Server {
        addresses: mailmesh_domain::AddressRule::Any,
        host: greenmail.host().to_owned(),
        port: greenmail.ports().pop3,
        encryption: Encryption::None,
        tls: client_config(None)?,
    };
    let source = Pop3Source::connect(&server, credentials, Pop3Limits::default()).await?;
    Ok(Box::new(source))
}

async fn refusal(credentials: &Credentials) -> anyhow::Result<Pop3Error> {
    match connect(credentials).await {
        Ok(_) => anyhow::bail!("signed in"),
        Err(error) => error.downcast(),
    }
}

fn password(login: &str, password: &str) -> Credentials {
    Credentials::Password {
        login: login.to_owned(),
        password: SecretString::from(password),
    }
}

fn bearer(login: &str, token: &str) -> Credentials {
    Credentials::OAuth2 {
        login: login.to_owned(),
        access_token: SecretString::from(token),
    }
}

async fn has(greenmail: &GreenMail, login: &str, count: usize) -> anyhow::Result<()> {
    eventually("the mailbox has as many mails", async || {
        let found = greenmail.mails(login).await?.len();
        ensure!(found == count, "{found} instead of {count}");
        Ok::<_, anyhow::Error>(())
    })
    .await
}

#[tokio::test]
async fn passwords_and_tokens_are_told_right_from_wrong() -> anyhow::Result<()> {
    let login = "pop3-sign-in@test.example";
    let long = "token".repeat(200);
    greenmail().await?.create_user(login, &long).await?;

    connect(&password(login, &long)).await?;
    connect(&bearer(login, &long)).await?;
    let wrong = refusal(&password(login, "other")).await?;
    assert_eq!(wrong.verdict().who, MustAct::Administrator, "{wrong}");
    for token in ["short", &"other".repeat(200)] {
        let wrong = refusal(&bearer(login, token)).await?;
        assert!(wrong.is_token_refused(), "{wrong}");
    }
    Ok(())
}

#[tokio::test]
async fn mails_are_read_and_deleted_with_the_farewell() -> anyhow::Result<()> {
    let login = "pop3@test.example";
    let greenmail = greenmail().await?;
    greenmail.create_user(login, "token").await?;
    for number in [1, 2] {
        let mail = format!("Subject: {number}\r\n\r\n.dots\r\n..\r\nend\r\n");
        greenmail.deliver("a@test.example", login, &mail).await?;
    }
    has(greenmail, login, 2).await?;

    // What is fetched and not confirmed stays listed. GreenMail hides what was marked even without QUIT, so nothing is.
    for farewell in [Farewell::Abandon, Farewell::Confirm] {
        let mut source = connect(&password(login, "token")).await?;
        source.open("INBOX", FolderAccess::Change).await?;
        let listed = source.list_after(10).await?;
        let ordinals: Vec<u64> = listed.iter().map(|mail| mail.ordinal).collect();
        assert_eq!(ordinals, [11, 12]);
        assert_eq!(source.locate(&listed[1].position), Some(12));

        let (sender, mut mails) = mpsc::channel(2);
        let report = source.fetch(&ordinals, 100_000, &sender).await?;
        assert_eq!(report, FetchReport::default());
        let mail = mails.recv().await.unwrap();
        assert!(mail.is_complete);
        let text = String::from_utf8_lossy(&mail.body);
        assert!(text.contains("\r\n\r\n.dots\r\n..\r\nend"), "{text}");

        if farewell == Farewell::Confirm {
            source.apply(&[11], &PostAction::Delete).await?;
            has(greenmail, login, 2).await?;
        }
        source.close(farewell).await;
    }
    has(greenmail, login, 1).await
}
