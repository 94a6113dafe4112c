//! Servers whose parts of a mail do not add up to its announced size.

use mailmesh_mail::imap::{ImapError, ImapLimits, Session};
use tokio::sync::mpsc;

use super::peer::{Peer, TestResult, open_inbox, play};

const SLICE: u32 = 1_000;

/// What a server makes of a mail: an answer has a label and a body.
struct Server {
    size: usize,
    mail: String,
    /// Answers a question for so many bytes from an offset on.
    part: fn(&str, usize, usize) -> (String, String),
    /// Answers a question without a range.
    whole: fn(&str) -> String,
}

impl Server {
    fn new(bytes: usize) -> Self {
        let lines: Vec<String> = (0..=bytes / 10)
            .map(|number| format!("{number:08}\r\n"))
            .collect();
        Self {
            size: bytes,
            mail: cut(&lines.concat(), 0, bytes),
            part: |mail, offset, bytes| (format!("<{offset}>"), cut(mail, offset, bytes)),
            whole: str::to_owned,
        }
    }

    fn answer(&self, command: &str) -> String {
        let size = self.size;
        let (label, body) = match range(command) {
            Some((offset, bytes)) => (self.part)(&self.mail, offset, bytes),
            None if command.contains("BODY.PEEK[]") => (String::new(), (self.whole)(&self.mail)),
            None => return format!("* 1 FETCH (UID 1 RFC822.SIZE {size})\r\n"),
        };
        let length = body.len();
        format!("* 1 FETCH (UID 1 RFC822.SIZE {size} BODY[]{label} {{{length}}}\r\n{body})\r\n")
    }
}

fn cut(mail: &str, offset: usize, bytes: usize) -> String {
    mail.chars().skip(offset).take(bytes).collect()
}

/// Reads m and n of `<m.n>`.
fn range(command: &str) -> Option<(usize, usize)> {
    let (_, range) = command.split_once('<')?;
    let (offset, bytes) = range.split_once('>')?.0.split_once('.')?;
    Some((offset.parse().ok()?, bytes.parse().ok()?))
}

/// Reads the mail as a fetcher does; returns it with the number of questions that it took.
async fn read(server: Server, times: usize) -> TestResult<(Result<String, ImapError>, usize)> {
    let mut questions = 0;
    let read = play(
        async |mut peer: Peer| {
            peer.open("", 1).await?;
            loop {
                let line = peer.hear().await?;
                let Some((tag, command)) = line.split_once(' ') else {
                    return Ok(());
                };
                questions += 1;
                let data = server.answer(command);
                peer.say(&format!("{data}{tag} OK done\r\n")).await?;
            }
        },
        async |server| {
            let limits = ImapLimits {
                literal_bytes: 50,
                ..ImapLimits::default()
            };
            let mut session = open_inbox(server, limits).await?;
            let mut read = read_once(&mut session).await?;
            for _ in 1..times {
                read = read_once(&mut session).await?;
            }
            assert!(session.is_healthy());
            Ok(read)
        },
    )
    .await?;
    Ok((read, questions))
}

async fn read_once(session: &mut Session) -> TestResult<Result<String, ImapError>> {
    let (sender, mut mails) = mpsc::channel(1);
    session.fetch(&[1], SLICE, &sender).await?;
    let mail = mails.try_recv()?;
    let mut read = mail.body.to_vec();
    let mut is_complete = mail.is_complete;
    while !is_complete {
        let offset = u64::try_from(read.len())?;
        match session.fetch_slice(1, offset, SLICE).await {
            Ok(slice) => {
                is_complete = slice.is_empty();
                read.extend_from_slice(&slice);
            }
            Err(error) => return Ok(Err(error)),
        }
    }
    Ok(Ok(String::from_utf8(read)?))
}

#[tokio::test]
async fn mail_is_read_whole_whatever_parts_the_server_gives() -> TestResult {
    type Part = fn(&str, usize, usize) -> (String, String);
    let parts: [(&str, Part); 8] = [
        ("more than was asked for", |mail, offset, bytes| {
            (format!("<{offset}>"), cut(mail, offset, bytes + 77))
        }),
        ("always the origin 0", |mail, offset, bytes| {
            ("<0>".to_owned(), cut(mail, offset, bytes))
        }),
        ("no origin", |mail, offset, bytes| {
            (String::new(), cut(mail, offset, bytes))
        }),
        ("at most 300, origin 0", |mail, offset, bytes| {
            ("<0>".to_owned(), cut(mail, offset, bytes.min(300)))
        }),
        ("at most 990", |mail, offset, bytes| {
            (format!("<{offset}>"), cut(mail, offset, bytes.min(990)))
        }),
        ("the first 700 alone", |mail, offset, bytes| {
            (
                format!("<{offset}>"),
                cut(&cut(mail, 0, 700), offset, bytes),
            )
        }),
        ("all but 20", |mail, offset, bytes| {
            let shown = cut(mail, 0, mail.len() - 20);
            (format!("<{offset}>"), cut(&shown, offset, bytes))
        }),
        ("nothing", |_, _, _| ("<0>".to_owned(), String::new())),
    ];
    for bytes in [950, 1_000, 1_777, 5_432] {
        for (name, part) in parts {
            let mut server = Server::new(bytes);
            server.part = part;
            let mail = server.mail.clone();

            let (read, _) = read(server, 1).await?;

            assert_eq!(read?, mail, "{name}, {bytes}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn mail_whose_whole_is_far_shorter_than_its_size_is_unreadable() -> TestResult {
    for (bytes, came) in [(300, 150), (300, 0), (3_000, 1_000), (3_000, 2_000)] {
        let mut server = Server::new(came);
        server.size = bytes;

        let (read, _) = read(server, 1).await?;

        let Err(ImapError::MailCutShort {
            announced,
            came: found,
        }) = read
        else {
            return Err(format!("{read:?}").into());
        };
        let expected = (u64::try_from(bytes)?, u64::try_from(came)?);
        assert_eq!((announced, found), expected);
    }
    Ok(())
}

#[tokio::test]
async fn estimated_size_costs_further_questions_once_a_session() -> TestResult {
    let server = |size| {
        let mut server = Server::new(955);
        server.size = size;
        server
    };
    let mail = server(0).mail;

    let (exact, questions) = read(server(955), 3).await?;
    assert_eq!((exact?, questions), (mail.clone(), 3));
    // Part, size and whole of the first.
    let (estimated, questions) = read(server(1_000), 3).await?;
    assert_eq!((estimated?, questions), (mail, 3 + 3));
    Ok(())
}
