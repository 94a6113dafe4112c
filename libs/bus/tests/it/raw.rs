use anyhow::{Context, Result};
use bytes::Bytes;
use mailmesh_bus::{BusSettings, NewRawMail, RawError};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

use crate::world::{Background, background, bus, bus_with, plain_client, settings, url};

const MIB: usize = 1024 * 1024;

#[tokio::test]
async fn mails_of_any_size_come_back_whole() -> Result<()> {
    let raw = bus().await?.raw_mails();
    let sizes = [0, 1, 600 * 1024, 3 * MIB];
    let mails = sizes.iter().map(|&size| NewRawMail {
        mail_id: format!("mail-{size}"),
        bytes: pattern(size),
    });

    for answer in raw.put_all(mails.collect()).await {
        answer?;
    }

    for size in sizes {
        let back = raw.get_whole(&format!("mail-{size}"), 4 * MIB).await?;
        assert_eq!(
            back.map(|bytes| bytes == pattern(size)),
            Some(true),
            "{size}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn chunks_are_bounded() -> Result<()> {
    let raw = bus().await?.raw_mails();
    raw.put(mail("m", 3 * MIB)).await?;

    let mut reader = raw.get("m").await?.context("it is there")?;
    let mut sizes = Vec::new();
    while let Some(chunk) = reader.next_chunk().await? {
        sizes.push(chunk.len());
    }

    assert_eq!(sizes, [512 * 1024; 6]);
    Ok(())
}

#[tokio::test]
async fn mail_written_in_parts_comes_back_whole() -> Result<()> {
    let raw = bus().await?.raw_mails();
    let whole = pattern(MIB + 100);

    let mut writer = raw.writer("m");
    for part in whole.chunks(70_001) {
        writer.write(part).await?;
    }
    writer.finish().await?;

    let back = raw.get_whole("m", 2 * MIB).await?.context("it is there")?;
    assert!(back == whole);
    Ok(())
}

#[tokio::test]
async fn absent_and_half_written_mails_are_told_apart() -> Result<()> {
    let raw = bus().await?.raw_mails();
    let mut writer = raw.writer("half");
    writer.write(&pattern(MIB + MIB / 2 + 1)).await?;
    drop(writer);

    assert!(raw.get("absent").await?.is_none());
    let half = raw.get_whole("half", 4 * MIB).await;
    assert!(
        matches!(half, Err(RawError::Partial { chunk: 3, .. })),
        "{half:?}"
    );
    Ok(())
}

#[tokio::test]
async fn deleted_mail_is_gone_and_can_be_stored_again() -> Result<()> {
    let raw = bus().await?.raw_mails();
    raw.put(mail("m", 600 * 1024)).await?;

    raw.delete("m").await?;
    assert!(raw.get("m").await?.is_none());
    raw.delete("m").await?;

    raw.put(mail("m", 600 * 1024)).await?;
    assert!(raw.get_whole("m", MIB).await?.is_some());
    Ok(())
}

#[tokio::test]
async fn mail_stored_twice_takes_its_room_once() -> Result<()> {
    let settings = settings(&url()?);
    let raw = bus_with(&settings).await?.raw_mails();
    raw.put(mail("m", 600 * 1024)).await?;
    raw.put(mail("m", 600 * 1024)).await?;

    let jetstream = async_nats::jetstream::new(plain_client().await?);
    let stream = jetstream
        .get_stream(format!("{}_MAIL_RAW", settings.prefix))
        .await?;
    assert_eq!(stream.cached_info().state.messages, 2);
    Ok(())
}

#[tokio::test]
async fn full_store_refuses() -> Result<()> {
    let mut settings = settings(&url()?);
    settings.streams.raw_max_bytes = MIB as u64;
    let raw = bus_with(&settings).await?.raw_mails();
    raw.put(mail("fits", MIB / 2)).await?;

    let refused = raw.put(mail("does-not", MIB)).await;

    assert!(refused.is_err_and(|error| error.is_full()));
    Ok(())
}

#[tokio::test]
async fn larger_than_the_caller_holds_is_refused() -> Result<()> {
    let raw = bus().await?.raw_mails();
    raw.put(mail("m", 1_001)).await?;

    let refused = raw.get_whole("m", 1_000).await;

    assert!(
        matches!(refused, Err(RawError::TooLarge { limit: 1_000, .. })),
        "{refused:?}"
    );
    assert!(matches!(raw.get("a.b").await, Err(RawError::BadId { .. })));
    Ok(())
}

#[tokio::test]
async fn any_client_fetches_a_mail_with_one_request() -> Result<()> {
    let settings = settings(&url()?);
    let raw = bus_with(&settings).await?.raw_mails();
    raw.put(mail("m", 1_000)).await?;

    let prefix = &settings.prefix;
    let subject = format!("$JS.API.DIRECT.GET.{prefix}_MAIL_RAW.{prefix}.raw.m.0");
    let answer = plain_client().await?.request(subject, Bytes::new()).await?;

    assert!(answer.payload == pattern(1_000));
    let headers = answer.headers.context("headers")?;
    let mark = headers
        .get("Mailmesh-Chunk")
        .map(async_nats::HeaderValue::as_str);
    assert_eq!(mark, Some("0/1"));
    Ok(())
}

fn mail(mail_id: &str, size: usize) -> NewRawMail {
    NewRawMail {
        mail_id: mail_id.to_owned(),
        bytes: pattern(size),
    }
}

fn pattern(size: usize) -> Bytes {
    (0..size)
        .map(|index| u8::try_from(index % 251).unwrap_or(0))
        .collect::<Vec<u8>>()
        .into()
}

/// Answers each direct get of raw mails as a replica does that has nothing of them.
async fn lagging_replica(settings: &BusSettings) -> Result<Background<Result<()>>> {
    let jetstream = async_nats::jetstream::new(plain_client().await?);
    let stream = format!("{}_MAIL_RAW", settings.prefix);
    let mut config = jetstream.get_stream(&stream).await?.cached_info().clone();
    // The server's own answer would come as well.
    config.config.allow_direct = false;
    jetstream.update_stream(config.config).await?;

    let server = url()?;
    let address = server.trim_start_matches("nats://");
    let mut socket = BufReader::new(TcpStream::connect(address).await?);
    let subject = format!("$JS.API.DIRECT.GET.{stream}.>");
    let hello =
        format!("CONNECT {{\"headers\":true,\"verbose\":false}}\r\nSUB {subject} 1\r\nPING\r\n");
    socket.write_all(hello.as_bytes()).await?;
    let (is_ready, ready) = oneshot::channel();
    let mut is_ready = Some(is_ready);
    let answering = background(async move {
        let mut line = String::new();
        while socket.read_line(&mut line).await? > 0 {
            // MSG <subject> <sid> <reply> <bytes>
            if let Some(reply) = line
                .strip_prefix("MSG ")
                .and_then(|text| text.split(' ').nth(2))
            {
                let head = "NATS/1.0 404 Message Not Found\r\n\r\n";
                let size = head.len();
                let answer = format!("HPUB {reply} {size} {size}\r\n{head}\r\n");
                socket.write_all(answer.as_bytes()).await?;
            } else if line.starts_with("PONG") {
                is_ready.take().map(|ready| ready.send(()));
            }
            line.clear();
        }
        Ok(())
    });
    ready.await?;
    Ok(answering)
}

#[tokio::test]
async fn mail_that_a_replica_does_not_have_yet_is_read_from_the_leader() -> Result<()> {
    let settings = settings(&url()?);
    let raw = bus_with(&settings).await?.raw_mails();
    let stored = mail("m", 2 * MIB);
    raw.put(stored.clone()).await?;
    let _replica = lagging_replica(&settings).await?;

    let found = raw.get_sized("m", 2 * MIB).await?;
    let gone = raw.get_sized("gone", MIB).await?;

    assert!(found.is_some_and(|bytes| bytes == stored.bytes));
    assert_eq!(gone, None);
    Ok(())
}
