use anyhow::Result;

use crate::world::{bus, outgoing};

#[tokio::test]
async fn only_what_was_published_after_the_sequence_is_read_back() -> Result<()> {
    let bus = bus().await?;
    let many = (0..10).flat_map(|n| {
        [
            outgoing(
                "mail.received.support",
                &format!("s{n}"),
                format!("{n}").as_bytes(),
            ),
            outgoing("mail.received.sales", &format!("x{n}"), b"other"),
        ]
    });
    let answers = bus.publish_all(many.collect()).await;
    let recorded = answers.into_iter().nth(6).expect("20 answers")?.sequence;

    let found = bus
        .read_back("mail.received.support", recorded)?
        .collect_all()
        .await?;

    let bodies: Vec<&[u8]> = found.iter().map(|stored| stored.payload.as_ref()).collect();
    assert_eq!(bodies, [b"4", b"5", b"6", b"7", b"8", b"9"]);
    assert!(
        found
            .iter()
            .all(|stored| stored.subject == "mail.received.support")
    );
    assert!(found.iter().all(|stored| stored.sequence > recorded));
    assert!(
        found[0]
            .headers
            .contains(&("Nats-Msg-Id".to_owned(), "s4".to_owned())),
        "{:?}",
        found[0].headers
    );
    Ok(())
}

#[tokio::test]
async fn empty_subject_reads_as_empty() -> Result<()> {
    let bus = bus().await?;

    let nothing = bus
        .read_back("mail.received.none", 0)?
        .collect_all()
        .await?;

    assert!(nothing.is_empty());
    Ok(())
}

#[tokio::test]
async fn more_than_a_batch_comes_in_bounded_parts_and_in_order() -> Result<()> {
    let bus = bus().await?;
    let many = (0..1_000).map(|n| outgoing("mail.received.a", &n.to_string(), &[b'x'; 500]));
    for answer in bus.publish_all(many.collect()).await {
        answer?;
    }

    let mut reading = bus.read_back("mail.received.a", 0)?;
    let mut sequences = Vec::new();
    loop {
        let part = reading.next_batch().await?;
        if part.is_empty() {
            break;
        }
        assert!(part.len() <= 257, "{}", part.len());
        sequences.extend(part.iter().map(|stored| stored.sequence));
    }

    assert_eq!(sequences, (1..=1_000).collect::<Vec<u64>>());
    Ok(())
}

#[tokio::test]
async fn large_bodies_end_a_part_by_bytes() -> Result<()> {
    let bus = bus().await?;
    let body = vec![b'x'; 700 * 1024];
    let many = (0..9).map(|n| outgoing("mail.received.a", &n.to_string(), &body));
    for answer in bus.publish_all(many.collect()).await {
        answer?;
    }

    let mut reading = bus.read_back("mail.received.a", 0)?;
    let mut total = 0;
    loop {
        let part = reading.next_batch().await?;
        if part.is_empty() {
            break;
        }
        assert!(part.len() <= 8, "{}", part.len());
        total += part.len();
    }

    assert_eq!(total, 9);
    Ok(())
}

#[tokio::test]
async fn headers_of_a_publisher_are_not_taken_for_the_servers() -> Result<()> {
    let bus = bus().await?;
    let mut posing = outgoing("mail.received.a", "posing", b"1");
    for (name, value) in [
        ("Nats-Sequence", "4000000000"),
        ("Nats-Subject", "mail.received.b"),
    ] {
        posing.headers.push((name.to_owned(), value.to_owned()));
    }
    bus.publish(posing).await?;
    bus.publish(outgoing("mail.received.a", "next", b"2"))
        .await?;

    let found = bus.read_back("mail.received.a", 0)?.collect_all().await?;

    let found = found
        .iter()
        .map(|each| (each.sequence, each.subject.as_str()));
    assert_eq!(
        found.collect::<Vec<_>>(),
        [(1, "mail.received.a"), (2, "mail.received.a")]
    );
    Ok(())
}
