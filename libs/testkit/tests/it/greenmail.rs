mod pop3;

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

/// A POP3 session on a raw socket.
struct Pop3(BufReader<TcpStream>);

impl Pop3 {
    async fn open(host: &str, port: u16) -> anyhow::Result<Self> {
        let mut session = Self(BufReader::new(TcpStream::connect((host, port)).await?));
        let greeting = session.line().await?;
        anyhow::ensure!(greeting.starts_with("+OK"), "greeted with {greeting}");
        Ok(session)
    }

    async fn line(&mut self) -> anyhow::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        Ok(line.trim_end_matches("\r\n").to_owned())
    }

    async fn ask(&mut self, command: &str) -> anyhow::Result<String> {
        let command = format!("{command}\r\n");
        self.0.write_all(command.as_bytes()).await?;
        self.line().await
    }

    /// Returns the lines between the first and the dot, as they are.
    async fn ask_lines(&mut self, command: &str) -> anyhow::Result<Vec<String>> {
        let first = self.ask(command).await?;
        anyhow::ensure!(first.starts_with("+OK"), "{command} answered with {first}");
        let mut lines = Vec::new();
        loop {
            match self.line().await?.as_str() {
                "." => return Ok(lines),
                line => lines.push(line.to_owned()),
            }
        }
    }
}

#[tokio::test]
async fn a_delivered_mail_is_read_over_pop3() {
    let servers = TestServers::shared().await.unwrap();
    let greenmail = servers.greenmail().await.unwrap();
    let (host, port) = (greenmail.host(), greenmail.ports().pop3);
    let user = "popped@test.example";
    greenmail.create_user(user, "token").await.unwrap();
    let mail = "Subject: Hello\r\nMessage-ID: <2@test.example>\r\n\r\n.dots\r\n";
    greenmail
        .deliver("a@test.example", user, mail)
        .await
        .unwrap();
    eventually("the mail is listed", async || {
        let mails = greenmail.mails(user).await?;
        anyhow::ensure!(!mails.is_empty(), "no mail yet");
        Ok::<_, anyhow::Error>(mails)
    })
    .await
    .unwrap();

    let mut refused = Pop3::open(host, port).await.unwrap();
    refused.ask(&format!("USER {user}")).await.unwrap();
    let wrong = refused.ask("PASS other").await.unwrap();
    let mut session = Pop3::open(host, port).await.unwrap();
    session.ask(&format!("USER {user}")).await.unwrap();
    let right = session.ask("PASS token").await.unwrap();
    let uidls = session.ask_lines("UIDL").await.unwrap();
    let lines = session.ask_lines("RETR 1").await.unwrap();
    let deleted = session.ask("DELE 1").await.unwrap();
    let ended = session.ask("QUIT").await.unwrap();

    assert!(wrong.starts_with("-ERR"), "{wrong}");
    assert!(right.starts_with("+OK"), "{right}");
    assert_eq!(uidls.len(), 1, "{uidls:?}");
    assert!(lines.contains(&"Subject: Hello".to_owned()), "{lines:?}");
    assert_eq!(lines.last().map(String::as_str), Some("..dots"));
    assert!(deleted.starts_with("+OK") && ended.starts_with("+OK"));
    eventually("the mail is deleted", async || {
        let mails = greenmail.mails(user).await?;
        anyhow::ensure!(mails.is_empty(), "{} mails left", mails.len());
        Ok::<_, anyhow::Error>(())
    })
    .await
    .unwrap();
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
