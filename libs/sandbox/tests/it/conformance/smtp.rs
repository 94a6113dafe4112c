//! lettre's transport against the submission server.

use lettre::address::Envelope;
use lettre::transport::smtp::authentication::{Credentials, Mechanism};
use lettre::transport::smtp::client::{
    AsyncSmtpConnection, Certificate, CertificateStore, Tls, TlsParameters,
};
use lettre::transport::smtp::extension::{ClientId, Extension};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use mailmesh_sandbox::{Personality, Sandbox};

use crate::peer::{ALICE, BOB, PASSWORD, TestResult, issue_token, start};

type Transport = AsyncSmtpTransport<Tokio1Executor>;

fn tls(sandbox: &Sandbox) -> TestResult<TlsParameters> {
    let ca = Certificate::from_pem(sandbox.ca_pem().as_bytes())?;
    Ok(TlsParameters::builder("localhost".to_owned())
        .certificate_store(CertificateStore::None)
        .add_root_certificate(ca)
        .build()?)
}

fn transport(sandbox: &Sandbox, mechanism: Mechanism, secret: &str) -> TestResult<Transport> {
    let address = sandbox.addresses().mail.smtp_tls;
    let credentials = Credentials::new(ALICE.to_owned(), secret.to_owned());
    Ok(Transport::builder_dangerous(address.ip().to_string())
        .port(address.port())
        .tls(Tls::Wrapper(tls(sandbox)?))
        .credentials(credentials)
        .authentication(vec![mechanism])
        .build())
}

fn envelope(recipients: &[&str]) -> TestResult<Envelope> {
    let recipients = recipients.iter().map(|recipient| recipient.parse());
    let recipients = recipients.collect::<Result<_, _>>()?;
    Ok(Envelope::new(Some(ALICE.parse()?), recipients)?)
}

#[tokio::test]
async fn it_signs_in_with_every_mechanism_it_knows() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let token = issue_token(&sandbox, ALICE);

    for (mechanism, secret) in [
        (Mechanism::Plain, PASSWORD),
        (Mechanism::Login, PASSWORD),
        (Mechanism::Xoauth2, &token),
    ] {
        let transport = transport(&sandbox, mechanism, secret)?;
        assert!(transport.test_connection().await?, "{mechanism}");
    }
    let refused = transport(&sandbox, Mechanism::Plain, "wrong")?;
    let refused = refused.test_connection().await;

    let error = refused.err().ok_or("a wrong password signed in")?;
    assert!(error.is_permanent(), "{error}");
    assert_eq!(sandbox.mail().counters().smtp_sign_ins, 3);
    Ok(())
}

#[tokio::test]
async fn it_upgrades_by_starttls() -> TestResult {
    let sandbox = start(Personality::Microsoft).await?;
    let address = sandbox.addresses().mail.smtp;
    let credentials = Credentials::new(ALICE.to_owned(), PASSWORD.to_owned());
    let transport = Transport::builder_dangerous(address.ip().to_string())
        .port(address.port())
        .tls(Tls::Required(tls(&sandbox)?))
        .credentials(credentials)
        .build::<Tokio1Executor>();

    transport
        .send_raw(&envelope(&[BOB])?, b"A: 1\r\n\r\nx\r\n")
        .await?;

    assert_eq!(sandbox.mail().list(BOB, "INBOX")?.len(), 1);
    Ok(())
}

#[tokio::test]
async fn it_sends_one_mail_after_another_to_several_recipients() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let transport = transport(&sandbox, Mechanism::Plain, PASSWORD)?;
    let message = Message::builder()
        .from(ALICE.parse()?)
        .to(BOB.parse()?)
        .cc("carol@elsewhere.test".parse()?)
        .bcc("dan@elsewhere.test".parse()?)
        .subject("Grüße")
        .body("One\nTwo\n".to_owned())?;

    for _ in 0..2 {
        assert!(transport.send(message.clone()).await?.is_positive());
    }

    let received = sandbox.mail().list(BOB, "INBOX")?;
    assert_eq!(received.len(), 2);
    let outbox = sandbox.mail().outbox();
    let elsewhere = ["carol@elsewhere.test", "dan@elsewhere.test"];
    assert!(outbox.iter().all(|mail| mail.recipients == elsewhere));
    assert_eq!(outbox.len(), 2);
    Ok(())
}

#[tokio::test]
async fn one_connection_takes_many_mails() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let name = ClientId::Domain("client.test".to_owned());
    let address = sandbox.addresses().mail.smtp_tls;
    let mut connection =
        AsyncSmtpConnection::connect_tokio1(address, None, &name, Some(tls(&sandbox)?), None)
            .await?;
    let credentials = Credentials::new(ALICE.to_owned(), PASSWORD.to_owned());

    connection.auth(&[Mechanism::Plain], &credentials).await?;
    for _ in 0..3 {
        let mail = b"A: 1\r\n\r\nx\r\n";
        connection.send(&envelope(&[ALICE, BOB])?, mail).await?;
        assert!(connection.test_connected().await);
    }
    let offered = connection.server_info().clone();
    connection.quit().await?;

    assert!(offered.supports_feature(Extension::EightBitMime));
    assert!(offered.supports_feature(Extension::SmtpUtfEight));
    assert_eq!(sandbox.mail().list(BOB, "INBOX")?.len(), 3);
    assert_eq!(sandbox.mail().counters().smtp_connected, 1);
    Ok(())
}

#[tokio::test]
async fn dots_and_eight_bit_content_arrive_as_they_were_sent() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let transport = transport(&sandbox, Mechanism::Plain, PASSWORD)?;
    let text = "Subject: x\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\
                Content-Transfer-Encoding: 8bit\r\n\r\n.\r\n..\r\nGrüße .\r\n.x\r\n";
    let large = format!("{text}{}", ".a line\r\n".repeat(20_000));

    for mail in [text, &large] {
        transport
            .send_raw(&envelope(&[BOB])?, mail.as_bytes())
            .await?;
    }

    let received = sandbox.mail().list(BOB, "INBOX")?;
    let received: Vec<_> = received.iter().map(|mail| &mail.raw[..]).collect();
    // lettre ends every mail with one more CRLF before the dot.
    let sent = [text, &large].map(|mail| format!("{mail}\r\n"));
    assert!(
        received
            .iter()
            .zip(&sent)
            .all(|(one, two)| *one == two.as_bytes())
    );
    assert_eq!(received.len(), 2);
    Ok(())
}

#[tokio::test]
async fn refusals_reach_it_with_their_code() -> TestResult {
    let sandbox = start(Personality::Standard).await?;
    let transport = transport(&sandbox, Mechanism::Plain, PASSWORD)?;
    let mail = b"A: 1\r\n\r\nx\r\n";

    for (recipient, code, is_transient) in [
        ("refuse@sandbox.test", 550, false),
        ("full@sandbox.test", 452, true),
    ] {
        let refused = transport.send_raw(&envelope(&[recipient])?, mail).await;
        let error = refused.err().ok_or("nothing was refused")?;
        assert_eq!(error.status().map(u16::from), Some(code), "{error}");
        assert_eq!(error.is_transient(), is_transient);
    }
    let bare = transport
        .send_raw(&envelope(&[BOB])?, b"A: 1\r\n\r\na\nb")
        .await;
    let bare = bare.err().and_then(|error| error.status().map(u16::from));
    assert_eq!(bare, Some(554));
    transport.send_raw(&envelope(&[BOB])?, mail).await?;
    assert_eq!(sandbox.mail().list(BOB, "INBOX")?.len(), 1);
    Ok(())
}
