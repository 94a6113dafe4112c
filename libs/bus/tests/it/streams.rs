use anyhow::Result;
use async_nats::jetstream::stream::{Config, Source};
use mailmesh_bus::{Bus, BusError, BusFault, BusSettings, PublishError, StreamError, StreamKind};
use mailmesh_events::EVENT_NAMES;
use mailmesh_events::subject::of_event;

use crate::world::{
    background, bus, bus_with, eventually, outgoing, plain_client, settings, start_own, url,
};

#[tokio::test]
async fn making_the_streams_again_changes_nothing() -> Result<()> {
    let bus = bus().await?;

    let (left, right) = tokio::join!(bus.ensure_streams(), bus.ensure_streams());

    left?;
    right?;
    Ok(())
}

#[tokio::test]
async fn several_processes_may_make_the_streams_at_once() -> Result<()> {
    let settings = settings(&url()?);
    let bus = Bus::connect(&settings).await?;

    let (first, second, third) = tokio::join!(
        bus.ensure_streams(),
        bus.ensure_streams(),
        bus.ensure_streams()
    );

    first?;
    second?;
    third?;
    Ok(())
}

#[tokio::test]
async fn changed_limit_is_applied_and_foreign_settings_stay() -> Result<()> {
    let mut settings = settings(&url()?);
    bus_with(&settings).await?;
    let jetstream = async_nats::jetstream::new(plain_client().await?);
    let name = format!("{}_EVENTS", settings.prefix);
    let mut config = jetstream
        .get_stream(&name)
        .await?
        .cached_info()
        .config
        .clone();
    config.description = Some("ours".to_owned());
    config
        .subjects
        .push(format!("{}.mail.later.*", settings.prefix));
    jetstream.update_stream(&config).await?;

    settings.streams.events_max_bytes = 6 * 1024 * 1024;
    bus_with(&settings).await?;

    let config = jetstream
        .get_stream(&name)
        .await?
        .cached_info()
        .config
        .clone();
    assert_eq!(config.max_bytes, 6 * 1024 * 1024);
    assert_eq!(config.description.as_deref(), Some("ours"));
    let later = format!("{}.mail.later.*", settings.prefix);
    assert!(config.subjects.contains(&later), "{:?}", config.subjects);
    Ok(())
}

#[tokio::test]
async fn stream_that_cannot_be_changed_is_a_clear_error() -> Result<()> {
    let settings = settings(&url()?);
    let jetstream = async_nats::jetstream::new(plain_client().await?);
    let stream = async_nats::jetstream::stream::Config {
        name: format!("{}_MAIL_SEND", settings.prefix),
        subjects: vec![format!("{}.mail.send", settings.prefix)],
        storage: async_nats::jetstream::stream::StorageType::Memory,
        ..Default::default()
    };
    jetstream.create_stream(stream).await?;

    let refused = bus_with(&settings).await;

    let error = refused.expect_err("the storage cannot change");
    assert!(
        matches!(
            error.downcast_ref(),
            Some(StreamError::Update { stream, .. }) if stream.ends_with("MAIL_SEND")
        ),
        "{error:?}"
    );
    Ok(())
}

#[tokio::test]
async fn two_prefixes_do_not_see_each_other() -> Result<()> {
    let left = bus().await?;
    let right = bus().await?;

    left.publish(outgoing("mail.received.a", "1", b"left"))
        .await?;
    let other = right
        .publish(outgoing("mail.received.a", "1", b"right"))
        .await?;

    assert!(!other.is_duplicate);
    assert_eq!(other.sequence, 1);
    let seen = right.read_back("mail.received.a", 0)?.collect_all().await?;
    assert_eq!(seen.len(), 1);
    assert_eq!(seen[0].payload.as_ref(), b"right");
    Ok(())
}

#[tokio::test]
async fn default_settings_make_the_documented_subjects() -> Result<()> {
    let server = start_own("unprefixed").await?;
    let settings = BusSettings {
        prefix: String::new(),
        ..settings(&server.url())
    };
    let bus = bus_with(&settings).await?;

    let commands = [
        "mail.send",
        "mail.send.support",
        "mail.cancel",
        "mail.cancel.support",
    ];
    let events = EVENT_NAMES.iter().map(|name| of_event(name, "support"));
    for subject in commands.map(str::to_owned).into_iter().chain(events) {
        bus.publish(outgoing(&subject, &subject, b"x")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn missing_server_says_what_to_do() -> Result<()> {
    let mut settings = settings("nats://user:hunter2@127.0.0.1:1");
    settings.connect_wait_seconds = 1;

    let error = Bus::connect(&settings).await.expect_err("nobody listens");

    let text = error.to_string();
    assert!(matches!(error, BusError::Unreachable { .. }), "{error:?}");
    assert!(
        text.contains("127.0.0.1:1") && text.contains("MAILMESH_NATS__URL"),
        "{text}"
    );
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    Ok(())
}

#[tokio::test]
async fn server_without_jetstream_is_told_apart() -> Result<()> {
    let mut peer = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let address = peer.local_addr()?;
    let answering = background(async move { scripted_server(&mut peer).await });
    let bus = Bus::connect(&settings(&format!("nats://{address}"))).await?;

    let refused = bus.ensure_streams().await;

    assert!(
        matches!(refused, Err(StreamError::NoJetStream { .. })),
        "{refused:?}"
    );
    drop(answering);
    Ok(())
}

/// Says hello, answers pings, and has no responders for anything.
async fn scripted_server(listener: &mut tokio::net::TcpListener) -> Result<()> {
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
    let (stream, _) = listener.accept().await?;
    let (reading, mut writing) = stream.into_split();
    writing
        .write_all(b"INFO {\"server_id\":\"S\",\"version\":\"2.15.0\",\"proto\":1,\"headers\":true,\"max_payload\":1048576}\r\n")
        .await?;
    let mut reading = BufReader::new(reading);
    let mut line = String::new();
    let mut inbox_id = String::new();
    while reading.read_line(&mut line).await? > 0 {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        match words.first().map(String::as_str) {
            Some("PING") => writing.write_all(b"PONG\r\n").await?,
            Some("SUB") => inbox_id = words.last().cloned().unwrap_or_default(),
            Some("PUB") => {
                let length: usize = words.last().and_then(|word| word.parse().ok()).unwrap_or(0);
                let mut body = vec![0; length + 2];
                reading.read_exact(&mut body).await?;
                let reply = words.get(2).cloned().unwrap_or_default();
                let header = "NATS/1.0 503\r\n\r\n";
                let answer = format!(
                    "HMSG {reply} {inbox_id} {0} {0}\r\n{header}\r\n",
                    header.len()
                );
                writing.write_all(answer.as_bytes()).await?;
            }
            _ => {}
        }
        line.clear();
    }
    Ok(())
}

#[tokio::test]
async fn stream_of_somebody_elses_on_a_bare_event_is_found() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    assert_eq!(bus.foreign_streams().await?, []);
    let jetstream = async_nats::jetstream::new(plain_client().await?);
    let listening = Config {
        name: format!("{}_LISTENING", settings.prefix),
        subjects: ["mail.received", "mail.sent"]
            .map(|event| format!("{}.{event}", settings.prefix))
            .into(),
        ..Config::default()
    };
    let sourced = Config {
        name: format!("{}_SOURCED", settings.prefix),
        sources: Some(vec![Source {
            name: format!("{}_EVENTS", settings.prefix),
            ..Source::default()
        }]),
        ..Config::default()
    };
    let mut listening = jetstream.create_stream(listening).await?;
    let mut sourced = jetstream.create_stream(sourced).await?;

    let foreign = bus.foreign_streams().await?;

    let names: Vec<_> = foreign.iter().map(|stream| stream.name.as_str()).collect();
    assert_eq!(names, [listening.cached_info().config.name.as_str()]);
    assert_eq!(foreign[0].events, ["mail.received", "mail.sent"]);

    // Why it matters: the one with a source has the event, the other has not.
    let fence = bus.take_fence("support").await?;
    let event = outgoing("mail.received.support", "1", b"x");
    for answer in bus.publish_fenced_all(&fence, vec![event]).await {
        answer?;
    }
    eventually("the event is sourced, behind the fence", async || {
        Ok((sourced.info().await?.state.messages == 2).then_some(()))
    })
    .await?;
    assert_eq!(listening.info().await?.state.messages, 0);
    Ok(())
}

#[tokio::test]
async fn streams_that_were_deleted_are_made_again() -> Result<()> {
    let settings = settings(&url()?);
    let bus = bus_with(&settings).await?;
    let jetstream = async_nats::jetstream::new(plain_client().await?);
    for stream in ["EVENTS", "MAIL_SEND", "MAIL_RAW"] {
        let name = format!("{}_{stream}", settings.prefix);
        jetstream.delete_stream(&name).await?;
    }
    let lost = bus.publish(outgoing("mail.received.a", "1", b"x")).await;
    assert!(
        matches!(lost, Err(PublishError::NoStream { .. })),
        "{lost:?}"
    );

    assert_eq!(bus.find_fault(&StreamKind::ALL).await, None);

    for subject in ["mail.received.a", "mail.send.a", "raw.a.1"] {
        bus.publish(outgoing(subject, "2", b"x")).await?;
    }
    Ok(())
}

#[tokio::test]
async fn server_that_is_gone_and_streams_that_cannot_be_made_are_told() -> Result<()> {
    let mut server = start_own("fault").await?;
    let bus = bus_with(&settings(&server.url())).await?;
    assert_eq!(bus.find_fault(&StreamKind::ALL).await, None);

    server.kill().await;

    // Until the client has noticed the end of the connection, only the answer about a stream is missing.
    eventually("the silence is told", async || {
        let fault = bus.find_fault(&StreamKind::ALL).await;
        Ok((fault == Some(BusFault::Silent)).then_some(()))
    })
    .await?;
    server.restart().await?;
    eventually("the fault is over", async || {
        Ok(bus
            .find_fault(&StreamKind::ALL)
            .await
            .is_none()
            .then_some(()))
    })
    .await
}
