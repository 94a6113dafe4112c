use mailmesh_domain::{Encryption, VerdictKind};
use mailmesh_mail::Credentials;
use mailmesh_mail::message::Envelope;
use mailmesh_mail::smtp::{Connection, SmtpError, SmtpPreparation, SmtpSettings};
use mailmesh_mail::transport::{RecipientResult, Scope};

use super::peer::{Peer, TestResult, impatient, patient, play, play_plain};

pub(super) const RAW: &[u8] = b"Subject: x\r\n\r\nhello\r\n";
const PIPELINING: &str = "\n250-PIPELINING";

pub(super) fn envelope(recipients: &[&str]) -> TestResult<Envelope> {
    Ok(Envelope::try_new(
        Some("me@example.com"),
        recipients.iter().copied(),
    )?)
}

/// One mail as the server took it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Taken {
    mail: String,
    recipients: Vec<String>,
    content: String,
}

/// A plain server, which refuses every recipient whose address starts with `no`.
async fn serve(peer: &mut Peer, taken: &mut Vec<Taken>) -> TestResult {
    let mut mail = Taken::default();
    while let Some(line) = peer.hear().await? {
        let reply = if let Some(rest) = line.strip_prefix("MAIL FROM:") {
            mail.mail = rest.to_owned();
            "250 2.1.0 ok"
        } else if line.starts_with("RCPT TO:<no") {
            "550-5.1.1 no such\n550 5.1.1 user"
        } else if let Some(rest) = line.strip_prefix("RCPT TO:") {
            mail.recipients.push(rest.to_owned());
            "250 2.1.5 ok"
        } else if line == "DATA" && mail.recipients.is_empty() {
            "503 5.5.1 RCPT first"
        } else if line == "DATA" {
            peer.say("354 go").await?;
            let Some(content) = peer.content().await? else {
                return Ok(());
            };
            mail.content = content;
            taken.push(std::mem::take(&mut mail));
            "250 2.0.0 queued"
        } else if line == "RSET" || line == "NOOP" {
            mail = Taken::default();
            "250 2.0.0 ok"
        } else if line == "QUIT" {
            return peer.say("221 bye").await;
        } else {
            "500 what"
        };
        peer.say(reply).await?;
    }
    Ok(())
}

/// Serves one connection and returns what the server took.
async fn served<T>(
    capabilities: &str,
    client: impl AsyncFnOnce(Connection) -> TestResult<T>,
) -> TestResult<(Vec<Taken>, T)> {
    served_to(&impatient(), capabilities, client).await
}

async fn served_to<T>(
    settings: &SmtpSettings,
    capabilities: &str,
    client: impl AsyncFnOnce(Connection) -> TestResult<T>,
) -> TestResult<(Vec<Taken>, T)> {
    let mut taken = Vec::new();
    let script = async |mut peer: Peer| {
        peer.greet(capabilities).await?;
        serve(&mut peer, &mut taken).await
    };
    let result = play(Encryption::None, script, async |server| {
        let connection = Connection::connect(&server, &Credentials::None, settings).await?;
        client(connection).await
    })
    .await??;
    Ok((taken, result))
}

/// Sends one mail and returns each recipient's result.
pub(super) async fn send(
    connection: &mut Connection,
    envelope: &Envelope,
    raw: &[u8],
) -> TestResult<Vec<RecipientResult>> {
    match connection.prepare(envelope, raw).await? {
        SmtpPreparation::Refused(recipients) => Ok(recipients),
        SmtpPreparation::Ready(prepared) => {
            let recipients = prepared.recipients().to_vec();
            prepared.commit().await?;
            Ok(recipients)
        }
    }
}

fn accepted(results: &[RecipientResult]) -> Vec<bool> {
    results.iter().map(RecipientResult::is_accepted).collect()
}

fn refusal_of(result: &RecipientResult) -> Option<(VerdictKind, Scope)> {
    let refusal = result.refusal.as_ref()?;
    Some((refusal.verdict().kind, refusal.scope))
}

#[tokio::test]
async fn one_refused_recipient_does_not_hold_up_the_others() {
    for capabilities in ["", PIPELINING] {
        let (taken, results) = served(capabilities, async |mut connection| {
            let envelope = envelope(&["a@b.c", "no@b.c", "d@b.c"])?;
            send(&mut connection, &envelope, RAW).await
        })
        .await
        .unwrap();

        assert_eq!(accepted(&results), [true, false, true]);
        assert_eq!(results[1].reply, "550 5.1.1 no such user");
        assert_eq!(
            refusal_of(&results[1]),
            Some((VerdictKind::Permanent, Scope::Recipient))
        );
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].recipients, ["<a@b.c>", "<d@b.c>"]);
        assert_eq!(taken[0].content.as_bytes(), RAW);
    }
}

#[tokio::test]
async fn refused_mail_is_forgotten_before_the_next() {
    for capabilities in ["", PIPELINING] {
        let (taken, results) = served(capabilities, async |mut connection| {
            let all_refused = connection
                .prepare(&envelope(&["no@b.c", "none@b.c"])?, RAW)
                .await?;
            let SmtpPreparation::Refused(refused) = all_refused else {
                return Err("refused recipients were accepted".into());
            };
            assert!(connection.is_reusable());
            let sent = send(&mut connection, &envelope(&["a@b.c"])?, RAW).await?;
            Ok((refused, sent))
        })
        .await
        .unwrap();

        assert_eq!(accepted(&results.0), [false, false]);
        assert_eq!(accepted(&results.1), [true]);
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].recipients, ["<a@b.c>"]);
    }
}

#[tokio::test]
async fn pipelining_changes_no_result() {
    let many: Vec<String> = (0..250)
        .map(|n| format!("{}{n}@b.c", if n % 3 == 0 { "no" } else { "user" }))
        .collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let mut outcomes = Vec::new();
    for capabilities in ["", PIPELINING] {
        let outcome = served(capabilities, async |mut connection| {
            let first = send(&mut connection, &envelope(&many)?, RAW).await?;
            let second = send(&mut connection, &envelope(&["no@b.c"])?, RAW).await?;
            let third = send(&mut connection, &envelope(&["a@b.c", "no@b.c"])?, b"x").await?;
            Ok((first, second, third))
        });
        outcomes.push(outcome.await.unwrap());
    }

    assert_eq!(outcomes[0], outcomes[1]);
    assert_eq!(outcomes[0].0.len(), 2);
    assert_eq!(outcomes[0].0[0].recipients.len(), 166);
}

#[tokio::test]
async fn pipelined_commands_arrive_together() {
    play_plain(
        async |mut peer| {
            peer.greet(PIPELINING).await?;
            let burst = peer.burst().await?;
            assert_eq!(
                burst,
                "MAIL FROM:<me@example.com>\r\nRCPT TO:<a@b.c>\r\nRCPT TO:<d@b.c>\r\nDATA\r\n"
            );
            peer.say("250 ok\n250 ok\n250 ok\n354 go").await?;
            peer.content().await?;
            peer.say("250 ok").await
        },
        async |mut connection| send(&mut connection, &envelope(&["a@b.c", "d@b.c"])?, RAW).await,
    )
    .await
    .unwrap();
}

#[tokio::test]
async fn a_hundred_mails_go_over_one_connection() {
    let (taken, ()) = served(PIPELINING, async |mut connection| {
        let envelope = envelope(&["a@b.c"])?;
        for n in 0..100 {
            send(
                &mut connection,
                &envelope,
                format!("Subject: {n}\r\n\r\n").as_bytes(),
            )
            .await?;
        }
        connection.noop().await?;
        connection.quit().await;
        Ok(())
    })
    .await
    .unwrap();

    assert_eq!(taken.len(), 100);
    assert_eq!(taken[99].content, "Subject: 99\r\n\r\n");
}

#[tokio::test]
async fn no_line_of_a_mail_ends_it_or_smuggles_another() {
    let raw = b"a\n.\nMAIL FROM:<x>\r.\rb\r\n.\r\nDATA\r\n..\r\n.";

    let (taken, ()) = served("", async |mut connection| {
        let envelope = envelope(&["a@b.c"])?;
        send(&mut connection, &envelope, raw).await?;
        send(&mut connection, &envelope, b"").await?;
        Ok(())
    })
    .await
    .unwrap();

    assert_eq!(taken.len(), 2);
    assert_eq!(
        taken[0].content,
        "a\r\n..\r\nMAIL FROM:<x>\r\n..\r\nb\r\n..\r\nDATA\r\n...\r\n..\r\n"
    );
    assert_eq!(taken[1].content, "");
}

#[tokio::test]
async fn large_mail_arrives_whole() {
    let line = format!("{}\r\n", "x".repeat(74));
    let clean = line.repeat(80_000);
    let dotted = format!("{line}.\n").repeat(20_000);

    let (taken, ()) = served_to(&patient(), PIPELINING, async |mut connection| {
        let envelope = envelope(&["a@b.c"])?;
        send(&mut connection, &envelope, clean.as_bytes()).await?;
        send(&mut connection, &envelope, dotted.as_bytes()).await?;
        Ok(())
    })
    .await
    .unwrap();

    assert!(taken[0].content == clean);
    assert!(taken[1].content == format!("{line}..\r\n").repeat(20_000));
}

#[tokio::test]
async fn size_is_told_and_checked_before_anything_is_sent() {
    let (taken, ()) = served("\n250-SIZE 30\n250-8BITMIME", async |mut connection| {
        let envelope = envelope(&["a@b.c"])?;
        let error = connection.prepare(&envelope, &[b'x'; 31]).await.map(drop);
        assert!(matches!(
            error,
            Err(SmtpError::TooLarge {
                bytes: 31,
                limit: 30
            })
        ));
        assert!(connection.is_reusable());
        send(&mut connection, &envelope, RAW).await?;
        send(&mut connection, &envelope, "ä\r\n".as_bytes()).await?;
        Ok(())
    })
    .await
    .unwrap();

    assert_eq!(taken[0].mail, "<me@example.com> SIZE=21");
    assert_eq!(taken[1].mail, "<me@example.com> SIZE=4 BODY=8BITMIME");
}

#[tokio::test]
async fn null_sender_is_sent_as_such() {
    let (taken, ()) = served("", async |mut connection| {
        send(&mut connection, &Envelope::try_new(None, ["a@b.c"])?, RAW).await?;
        Ok(())
    })
    .await
    .unwrap();

    assert_eq!(taken[0].mail, "<>");
}

#[tokio::test]
async fn told_number_of_mails_is_kept() {
    let (_, is_reusable) = served("\n250-LIMITS MAILMAX=2", async |mut connection| {
        let envelope = envelope(&["a@b.c"])?;
        send(&mut connection, &envelope, RAW).await?;
        let after_one = connection.is_reusable();
        send(&mut connection, &envelope, RAW).await?;
        Ok((after_one, connection.is_reusable()))
    })
    .await
    .unwrap();

    assert_eq!(is_reusable, (true, false));
}

/// Answers MAIL, throws the rest of the segment away and is silent, as filters do that offer what they cannot.
async fn swallow(peer: &mut Peer) -> TestResult {
    let burst = peer.burst().await?;
    assert!(burst.starts_with("MAIL FROM:"), "{burst}");
    peer.say("250 2.1.0 ok").await?;
    assert!(peer.is_closed().await?);
    Ok(())
}

#[tokio::test]
async fn session_that_breaks_over_pipelined_commands_is_followed_by_one_command_at_a_time() {
    let settings = impatient();
    for attempt in 1..=3 {
        let script = async |mut peer: Peer| {
            peer.greet(PIPELINING).await?;
            if attempt == 1 {
                return swallow(&mut peer).await;
            }
            for (command, reply) in [("MAIL", "250 ok"), ("RCPT", "250 ok"), ("DATA", "354 go")] {
                let heard = peer.burst().await?;
                assert!(
                    heard.starts_with(command) && heard.lines().count() == 1,
                    "{heard}"
                );
                peer.say(reply).await?;
            }
            peer.content().await?;
            peer.say("250 2.0.0 queued").await
        };
        let client = async |server| -> TestResult {
            let mut connection =
                Connection::connect(&server, &Credentials::None, &settings).await?;
            let envelope = envelope(&["a@b.c"])?;
            match connection.prepare(&envelope, RAW).await {
                Ok(SmtpPreparation::Ready(prepared)) if attempt > 1 => {
                    prepared.commit().await?;
                }
                Err(SmtpError::Wire { .. }) if attempt == 1 => {}
                other => return Err(format!("{other:?}").into()),
            }
            Ok(())
        };

        play(Encryption::None, script, client)
            .await
            .unwrap()
            .unwrap();
    }
}

#[tokio::test]
async fn parameters_that_are_announced_and_refused_are_left_out() {
    let raw = "Subject: x\r\n\r\nGrüße\r\n".as_bytes();
    for pipelining in ["", PIPELINING] {
        for refusal in ["501 5.5.4 unknown", "504 no", "555 5.5.4 unsupported"] {
            let mut opened = Vec::new();
            let sent = play_plain(
                async |mut peer: Peer| {
                    peer.greet(&format!("{pipelining}\n250-SIZE 1000\n250-8BITMIME"))
                        .await?;
                    let mut has_mail = false;
                    while let Some(line) = peer.hear().await? {
                        let reply = if let Some(rest) = line.strip_prefix("MAIL FROM:") {
                            opened.push(rest.to_owned());
                            has_mail = !rest.contains('=');
                            if has_mail { "250 ok" } else { refusal }
                        } else if line == "RSET" {
                            has_mail = false;
                            "250 ok"
                        } else if !has_mail {
                            "503 MAIL first"
                        } else if line == "DATA" {
                            peer.say("354 go").await?;
                            peer.content().await?;
                            "250 queued"
                        } else {
                            "250 ok"
                        };
                        peer.say(reply).await?;
                    }
                    Ok(())
                },
                async |mut connection| {
                    let envelope = envelope(&["a@b.c"])?;
                    let first = send(&mut connection, &envelope, raw).await?;
                    let second = send(&mut connection, &envelope, raw).await?;
                    Ok([accepted(&first), accepted(&second)])
                },
            )
            .await;

            assert_eq!(sent.unwrap(), [[true], [true]], "{refusal}");
            let bare = "<me@example.com>";
            let full = format!("{bare} SIZE={} BODY=8BITMIME", raw.len());
            assert_eq!(opened, [full.as_str(), bare, bare]);
        }
    }
}
