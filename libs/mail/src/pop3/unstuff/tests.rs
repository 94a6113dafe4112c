use super::*;

/// What the server sends, and the mail that it means; a reply without a mail does not end.
const REPLIES: &[(&[u8], Option<&[u8]>)] = &[
    (b".\r\n", Some(b"")),
    (b"\r\n.\r\n", Some(b"\r\n")),
    (b"a\r\n.\r\n", Some(b"a\r\n")),
    (b"..\r\n.\r\n", Some(b".\r\n")),
    (b"...a\r\n..b\r\n.\r\n", Some(b"..a\r\n.b\r\n")),
    // A server that stuffs nothing loses the dot, as RFC 1939 has it.
    (b".a\r\n.\r\n", Some(b"a\r\n")),
    (b"a.\r\n.\r\n", Some(b"a.\r\n")),
    // Bare LF and CR end no line, so no dot after them is the last.
    (b"a\n.\r\nb\r\n.\r\n", Some(b"a\n.\r\nb\r\n")),
    (b"a\n.\nb\r\n.\r\n", Some(b"a\n.\nb\r\n")),
    (b"a\r.\r\nb\r\n.\r\n", Some(b"a\r.\r\nb\r\n")),
    (b"a\r\r\n.\r\n", Some(b"a\r\r\n")),
    (b"a\r\n.\nb\r\n.\r\n", Some(b"a\r\n\nb\r\n")),
    (b"a\r\n.\rb\r\n.\r\n", Some(b"a\r\n\rb\r\n")),
    (b"a\r\n.\r\r\n.\r\n", Some(b"a\r\n\r\r\n")),
    (b"a\n..\r\n.\r\n", Some(b"a\n..\r\n")),
    (b"a\r\n", None),
    (b"a\r\n.", None),
    (b"a\r\n.\r", None),
    (b"a\n.\r\n", None),
    (b"a\r\n.\n", None),
    (b"", None),
];

/// Feeds the pieces, giving `room` at a time; returns the content and what was left over after the end.
fn unstuff<'a>(
    pieces: impl IntoIterator<Item = &'a [u8]>,
    room: usize,
) -> (Unstuffer, Vec<u8>, Vec<u8>) {
    let mut unstuffer = Unstuffer::default();
    let (mut content, mut left) = (Vec::new(), Vec::new());
    for mut piece in pieces {
        while !piece.is_empty() && !unstuffer.is_ended() {
            let before = content.len();
            let taken = unstuffer.read(piece, &mut content, room);
            assert!(
                content.len() - before <= room,
                "more than there is room for"
            );
            assert!(taken > 0 || content.len() > before, "no progress");
            piece = &piece[taken..];
        }
        left.extend_from_slice(piece);
    }
    (unstuffer, content, left)
}

#[test]
fn mails_are_read_the_same_wherever_the_stream_is_cut() {
    for (reply, mail) in REPLIES {
        for first in 0..=reply.len() {
            for second in first..=reply.len() {
                for room in [1, 2, 3, 100] {
                    let pieces = [&reply[..first], &reply[first..second], &reply[second..]];

                    let (unstuffer, content, left) = unstuff(pieces, room);

                    let shown = String::from_utf8_lossy(reply);
                    assert_eq!(unstuffer.is_ended(), mail.is_some(), "{shown:?}");
                    if let Some(mail) = mail {
                        assert_eq!(content, *mail, "{shown:?} at {first}, {second}");
                    }
                    assert!(left.is_empty(), "{shown:?}");
                }
            }
        }
    }
}

#[test]
fn no_mail_is_whole_before_its_last_byte() {
    for (reply, _) in REPLIES.iter().filter(|(_, mail)| mail.is_some()) {
        for end in 0..reply.len() {
            let (unstuffer, ..) = unstuff([&reply[..end]], 100);

            assert!(
                !unstuffer.is_ended(),
                "{:?}",
                String::from_utf8_lossy(reply)
            );
        }
    }
}

#[test]
fn what_follows_the_end_is_left_alone() {
    let (_, content, left) = unstuff([&b"a\r\n.\r\n+OK next\r\n"[..]], 100);

    assert_eq!(content, b"a\r\n");
    assert_eq!(left, b"+OK next\r\n");
}

/// Every mail that a careful server stuffs comes back byte by byte.
#[test]
fn stuffing_is_undone_for_every_short_mail() {
    const ALPHABET: &[u8] = b"a.\r\n";
    for length in 0..=6_u32 {
        for number in 0..4_usize.pow(length) {
            let mut mail: Vec<u8> = (0..length)
                .map(|place| ALPHABET[number / 4_usize.pow(place) % 4])
                .collect();
            mail.extend_from_slice(b"\r\n");
            let mut reply = Vec::new();
            let mut is_at_start = true;
            for (at, byte) in mail.iter().enumerate() {
                if is_at_start && *byte == b'.' {
                    reply.push(b'.');
                }
                reply.push(*byte);
                is_at_start = *byte == b'\n' && at > 0 && mail[at - 1] == b'\r';
            }
            reply.extend_from_slice(b".\r\n");

            let (unstuffer, content, _) = unstuff([reply.as_slice()], 100);

            assert!(unstuffer.is_ended());
            assert_eq!(content, mail);
        }
    }
}
