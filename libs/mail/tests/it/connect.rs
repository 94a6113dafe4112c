//! Which protocols can do what is asked of them.

use std::time::Duration;

use mailmesh_domain::{Direction, Encryption, Protocol, VerdictKind};
use mailmesh_mail::transport::TransportSettings;
use mailmesh_mail::{
    Credentials, Endpoint, Server, TlsError, client_config, connect_sent, connect_transport,
};

/// A server that nobody answers at.
fn endpoint(protocol: Protocol, direction: Direction) -> Result<Endpoint, TlsError> {
    Ok(Endpoint {
        protocol,
        direction,
        server: Server {
            host: "127.0.0.1".to_owned(),
            port: 9,
            encryption: Encryption::None,
            tls: client_config(None)?,
        },
    })
}

#[tokio::test]
async fn pop3_has_no_sent_folder_and_is_not_asked_for_it() {
    let endpoint = endpoint(Protocol::Pop3, Direction::Inbound).unwrap();

    let sent = connect_sent(&endpoint, &Credentials::None).await.unwrap();

    assert!(sent.is_none());
}

#[tokio::test]
async fn protocol_that_reads_mail_is_no_transport() {
    let settings = TransportSettings {
        client_name: "[127.0.0.1]".to_owned(),
        connect_timeout: Duration::from_secs(5),
        command_timeout: Duration::from_secs(5),
        commit_timeout: Duration::from_secs(5),
    };
    for protocol in [Protocol::Imap, Protocol::Pop3] {
        let endpoint = endpoint(protocol, Direction::Outbound).unwrap();

        let connected = connect_transport(&endpoint, &Credentials::None, &settings).await;

        let failure = connected.unwrap_err();
        assert_eq!(failure.verdict.kind, VerdictKind::NeedsAdministrator);
        assert_eq!(
            failure.what,
            format!("{protocol} reads mail and sends none")
        );
    }
}
