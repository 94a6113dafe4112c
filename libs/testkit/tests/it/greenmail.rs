use mailmesh_testkit::{TestServers, eventually};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

/// Logs in over IMAP and returns the tagged answer.
async fn log_in(port: u16, host: &str, user: &str, password: &str) -> anyhow::Result<String> {
    let mut stream = BufReader::new(TcpStream::connect((host, port)).await?);
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    stream
        .write_all(format!("a LOGIN {user} \"{password}\"\r\n").as_bytes())
        .await?;
    line.clear();
    stream.read_line(&mut line).await?;
    Ok(line)
}

#[tokio::test]
async fn a_delivered_mail_is_listed() {
    let greenmail = TestServers::shared()
        .await
        .unwrap()
        .greenmail()
        .await
        .unwrap();
    greenmail
        .create_user("listed@test.example", "token")
        .await
        .unwrap();

    let mail = "Subject: Hello\r\nMessage-ID: <1@test.example>\r\n\r\n.dots\r\n";
    greenmail
        .deliver("a@test.example", "listed@test.example", mail)
        .await
        .unwrap();

    let mails = eventually("the mail is listed", async || {
        let mails = greenmail.mails("listed@test.example").await?;
        anyhow::ensure!(!mails.is_empty(), "no mail yet");
        Ok::<_, anyhow::Error>(mails)
    })
    .await
    .unwrap();
    assert_eq!(mails[0].subject.as_deref(), Some("Hello"));
    assert_eq!(mails[0].message_id.as_deref(), Some("<1@test.example>"));
    assert!(mails[0].raw.ends_with("\r\n\r\n.dots"), "{}", mails[0].raw);
}

#[tokio::test]
async fn only_the_given_password_is_accepted() {
    let greenmail = TestServers::shared()
        .await
        .unwrap()
        .greenmail()
        .await
        .unwrap();
    let (host, port) = (greenmail.host(), greenmail.ports().imap);
    let user = "strict@test.example";
    greenmail.create_user(user, "to:ken,@1").await.unwrap();

    let right = log_in(port, host, user, "to:ken,@1").await.unwrap();
    let wrong = log_in(port, host, user, "other").await.unwrap();

    assert!(right.starts_with("a OK"), "{right}");
    assert!(wrong.starts_with("a NO"), "{wrong}");
}

#[tokio::test]
async fn a_deleted_user_has_no_mailbox() {
    let greenmail = TestServers::shared()
        .await
        .unwrap()
        .greenmail()
        .await
        .unwrap();
    greenmail
        .create_user("gone@test.example", "token")
        .await
        .unwrap();

    greenmail.delete_user("gone@test.example").await.unwrap();

    let error = greenmail.mails("gone@test.example").await.unwrap_err();
    assert!(error.to_string().contains("not found"), "{error}");
}
