//! Accounts whose settings are wrong: each mistake has a text and an action of its own, and the administrator acts.

use std::collections::BTreeMap;
use std::time::Duration;

use mailmesh_domain::{Direction, Encryption, History, MustAct, Protocol, VerdictKind};
use mailmesh_mail::{Credentials, Endpoint, ProbeError, Server, client_config, probe};
use mailmesh_secrets::SecretString;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::imap::peer::TestResult;

const LIMIT: Duration = Duration::from_secs(10);
const PROTOCOLS: [Protocol; 3] = [Protocol::Imap, Protocol::Pop3, Protocol::Smtp];

/// Says the first line, and answers whatever is asked as a server does that refuses every sign-in and folder.
async fn serve(stream: TcpStream, greeting: &str, protocol: Protocol) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    stream.write_all(greeting.as_bytes()).await?;
    let mut line = String::new();
    while stream.read_line(&mut line).await? > 0 {
        let tag = line.split(' ').next().unwrap_or_default().trim();
        let word = line.split(' ').nth(1).unwrap_or_default().trim();
        let reply = match (protocol, word, tag) {
            (Protocol::Imap, "CAPABILITY", _) => {
                format!("* CAPABILITY IMAP4rev1\r\n{tag} OK done\r\n")
            }
            (Protocol::Imap, "LOGIN", _) => {
                format!("{tag} NO [AUTHENTICATIONFAILED] wrong\r\n")
            }
            (Protocol::Imap, "EXAMINE", _) => format!("{tag} NO [NONEXISTENT] unknown\r\n"),
            (Protocol::Imap, ..) => format!("{tag} OK done\r\n"),
            (Protocol::Pop3, _, "CAPA") => "+OK\r\nUSER\r\n.\r\n".to_owned(),
            (Protocol::Pop3, _, "PASS") => "-ERR [AUTH] wrong\r\n".to_owned(),
            (Protocol::Pop3, ..) => "+OK\r\n".to_owned(),
            (_, _, "EHLO") => "250-mx\r\n250 AUTH PLAIN\r\n".to_owned(),
            (_, _, "AUTH") => "535 5.7.8 wrong\r\n".to_owned(),
            _ => "250 ok\r\n".to_owned(),
        };
        stream.write_all(reply.as_bytes()).await?;
        line.clear();
    }
    Ok(())
}

const fn greeting_of(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Imap => "* OK ready\r\n",
        Protocol::Pop3 => "+OK ready\r\n",
        Protocol::Smtp => "220 mx ready\r\n",
    }
}

/// Returns the first failure of an account at a server that begins with this greeting.
async fn failure(
    protocol: Protocol,
    greeting: &'static str,
    encryption: Encryption,
    credentials: Credentials,
) -> TestResult<ProbeError> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let endpoint = Endpoint {
        protocol,
        direction: if protocol == Protocol::Smtp {
            Direction::Outbound
        } else {
            Direction::Inbound
        },
        server: Server {
            host: "127.0.0.1".to_owned(),
            port: listener.local_addr()?.port(),
            encryption,
            tls: client_config(None)?,
            addresses: mailmesh_domain::AddressRule::Any,
        },
    };
    let serving = async {
        let (stream, _) = listener.accept().await?;
        // The client ends it as it likes.
        serve(stream, greeting, protocol).await.or(Ok(()))
    };
    let folders = ["Gone".to_owned()];
    let probing = probe(&endpoint, &credentials, &folders, LIMIT);
    let (probed, served): (_, std::io::Result<()>) = tokio::join!(probing, serving);
    served?;
    let failed = probed
        .checks
        .into_iter()
        .find_map(|check| check.result.err());
    failed.ok_or_else(|| "it works".into())
}

fn password() -> Credentials {
    Credentials::Password {
        login: "jane".to_owned(),
        password: SecretString::from("pw"),
    }
}

#[tokio::test]
async fn each_wrong_setting_has_a_text_and_an_action_of_its_own() -> TestResult {
    for protocol in PROTOCOLS {
        let greeting = greeting_of(protocol);
        let other = greeting_of(if protocol == Protocol::Imap {
            Protocol::Smtp
        } else {
            Protocol::Imap
        });
        let (tls, plain) = (Encryption::Tls, Encryption::None);
        let none = Credentials::None;
        let mut failures = vec![
            failure(protocol, other, plain, password()).await?,
            failure(protocol, greeting, tls, password()).await?,
            failure(protocol, greeting, plain, password()).await?,
        ];
        if protocol != Protocol::Smtp {
            failures.push(failure(protocol, greeting, plain, none).await?);
        }

        let mut texts = BTreeMap::new();
        for error in &failures {
            let verdict = error.verdict();
            assert_eq!(verdict.kind, VerdictKind::NeedsAdministrator, "{error}");
            assert_eq!(verdict.who, MustAct::Administrator, "{error}");
            let action = error.diagnosis().responsibility(History::NEW).action;
            texts.insert(action, error.to_string());
        }
        assert_eq!(texts.len(), failures.len(), "{protocol}: {texts:?}");
        let whats: std::collections::BTreeSet<&String> = texts.values().collect();
        assert_eq!(whats.len(), failures.len(), "{protocol}: {texts:?}");
    }
    Ok(())
}

#[tokio::test]
async fn what_listens_there_is_named_by_its_protocol_and_not_quoted() -> TestResult {
    for protocol in PROTOCOLS {
        for (greeting, spoken) in [
            ("SSH-2.0-secret_1.0\r\n", "SSH"),
            ("HTTP/1.1 400 secret\r\n\r\n", "HTTP"),
            ("\u{15}\u{3}secret\r\n", "TLS"),
        ] {
            let error = failure(protocol, greeting, Encryption::None, password()).await?;
            let text = mailmesh_domain::ErrorChain(&error).to_string();

            assert!(text.contains(spoken) && !text.contains("secret"), "{text}");
            assert_eq!(error.verdict().kind, VerdictKind::NeedsAdministrator);
        }
        let error = failure(protocol, "secret\r\n", Encryption::None, password()).await?;
        let text = mailmesh_domain::ErrorChain(&error).to_string();
        assert!(!text.contains("secret"), "{text}");
    }
    Ok(())
}
