//! Which protocols can do what is asked of them.

use std::time::Duration;

use mailmesh_domain::{
    AddressRule, Direction, Encryption, FailureCause, NetworkSettings, Protocol, VerdictKind,
};
use mailmesh_mail::PipeliningRecord;
use mailmesh_mail::transport::TransportSettings;
use mailmesh_mail::{
    Credentials, Endpoint, Server, TlsError, client_config, connect_sent, connect_transport, probe,
};

/// A server that nobody answers at.
fn endpoint(protocol: Protocol, direction: Direction) -> Result<Endpoint, TlsError> {
    Ok(Endpoint {
        protocol,
        direction,
        server: Server {
            addresses: mailmesh_domain::AddressRule::Any,
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
        pipelining: PipeliningRecord::default(),
    };
    for protocol in [Protocol::Imap, Protocol::Pop3] {
        let endpoint = endpoint(protocol, Direction::Outbound).unwrap();

        let connected = connect_transport(&endpoint, &Credentials::None, &settings).await;

        let failure = connected.unwrap_err();
        assert_eq!(failure.verdict().kind, VerdictKind::NeedsAdministrator);
        assert_eq!(
            failure.what,
            format!("{protocol} reads mail and sends none")
        );
    }
}

#[tokio::test]
async fn a_host_that_nobody_vouches_for_is_connected_to_in_public_alone() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let public = AddressRule::public(&NetworkSettings::default());
    for protocol in [Protocol::Imap, Protocol::Pop3, Protocol::Smtp] {
        for host in [
            "localhost",
            "127.0.0.1",
            "::1",
            "[::ffff:127.0.0.1]",
            "127.1",
            "0.0.0.0",
        ] {
            let mut endpoint = endpoint(protocol, protocol.usual_direction()).unwrap();
            endpoint.server.host = host.to_owned();
            endpoint.server.port = port;
            endpoint.server.addresses = public.clone();

            let limit = Duration::from_secs(5);
            let probed = probe(&endpoint, &Credentials::None, &["INBOX".to_owned()], limit).await;

            let (_, error) = probed.failures().next().expect("a failure");
            let cause = error.diagnosis().cause;
            assert_eq!(cause, FailureCause::NetworkNotAllowed, "{host}: {error:?}");
        }
    }
    let nobody_came = tokio::time::timeout(Duration::from_millis(1), listener.accept()).await;
    assert!(nobody_came.is_err());
}

#[tokio::test]
async fn an_allowed_network_is_connected_to() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = NetworkSettings {
        allow: vec!["127.0.0.0/8".parse().unwrap()],
    };
    let mut endpoint = endpoint(Protocol::Imap, Direction::Inbound).unwrap();
    endpoint.server.port = listener.local_addr().unwrap().port();
    endpoint.server.addresses = AddressRule::public(&settings);

    let limit = Duration::from_millis(300);
    let (_, came) = tokio::join!(
        probe(&endpoint, &Credentials::None, &[], limit),
        listener.accept()
    );

    assert!(came.is_ok());
}
