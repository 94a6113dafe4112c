use time::macros::datetime;

use super::*;

fn read(text: &[u8]) -> Reply {
    Reply::read(&Bytes::copy_from_slice(text))
}

fn fetched(text: &[u8]) -> FetchReply {
    match read(text) {
        Reply::Fetch(fetched) => fetched,
        other => panic!("{other:?}"),
    }
}

#[test]
fn fetch_items_are_read_in_any_order_among_unknown_ones() {
    let fetched = fetched(
        b"* 12 FETCH (X-GM-MSGID 1 FLAGS (\\Seen $a]) ENVELOPE (NIL (\"x\" ((y))) {2}\r\n)( z) \
          BODY[]<0> {6}\r\na\r\nb)c UID 7 INTERNALDATE \" 7-Feb-2026 09:08:07 +0130\" RFC822.SIZE 99)\r\n",
    );

    assert_eq!(
        fetched,
        FetchReply {
            sequence: 12,
            uid: Some(7),
            size: Some(99),
            internal_date: Some(datetime!(2026-02-07 09:08:07 +01:30)),
            flags: vec!["\\Seen".to_owned(), "$a]".to_owned()],
            body: Some(BodyValue::Bytes {
                bytes: Bytes::from_static(b"a\r\nb)c"),
                origin: Some(0)
            }),
        }
    );
}

#[test]
fn odd_values_of_single_items_do_not_lose_the_mail() {
    let odd = fetched(
        b"* 1 FETCH (UID 7 INTERNALDATE NIL RFC822.SIZE 99999999999 FLAGS NIL BODY[] \"a\\\"b\")\r\n",
    );

    assert_eq!((odd.size, odd.internal_date), (None, None));
    assert_eq!(
        odd.body,
        Some(BodyValue::Bytes {
            bytes: Bytes::from_static(b"a\"b"),
            origin: None
        })
    );
    assert_eq!(
        fetched(b"* 1 FETCH (UID 7 BODY[]<0> NIL)\r\n").body,
        Some(BodyValue::Nil)
    );
}

#[test]
fn a_line_full_of_flags_is_read_in_part() {
    let flags = format!("\\Seen {} {}", "x".repeat(1_000), "$a ".repeat(80_000));

    let fetched = fetched(format!("* 1 FETCH (FLAGS ({flags}) UID 7)\r\n").as_bytes());

    assert_eq!(fetched.flags.len(), 100);
    assert_eq!(
        (fetched.flags[0].as_str(), fetched.flags[1].as_str()),
        ("\\Seen", "$a")
    );
    assert_eq!(fetched.uid, Some(7));
}

#[test]
fn a_broken_fetch_is_still_known_by_its_uid() {
    for text in [
        &b"* 1 FETCH (UID 7 BODY[] )\r\n"[..],
        b"* 1 FETCH (BODY[] oops oops UID 7 \"\r\n",
        b"* 1 FETCH (UID 7 ENVELOPE ((((((((\r\n",
    ] {
        assert!(
            matches!(read(text), Reply::BrokenFetch { uid: Some(7) }),
            "{text:?}"
        );
    }
}

#[test]
fn status_lines_keep_code_and_text() {
    let Reply::Tagged { tag, outcome } =
        read(b"A7 no [authenticationFailed] Invalid  credentials (Failure)\r\n")
    else {
        panic!("not tagged");
    };
    assert_eq!((tag.as_str(), outcome.status), ("A7", Status::No));
    assert_eq!(outcome.code_name().as_deref(), Some("AUTHENTICATIONFAILED"));
    assert_eq!(outcome.text.as_str(), "Invalid  credentials (Failure)");

    // Exchange: a double space in COPYUID must not cost the session.
    let Reply::Tagged { outcome, .. } = read(b"A8 OK [COPYUID 1  2 3] done\r\n") else {
        panic!("not tagged");
    };
    assert_eq!(outcome.argument("COPYUID"), Some("1  2 3"));
    assert!(matches!(
        read(b"* OK [UIDVALIDITY 5]\r\n"),
        Reply::Status(outcome) if outcome.number::<u32>("UIDVALIDITY") == Some(5)
    ));
}

#[test]
fn other_lines_are_told_apart() {
    assert!(matches!(read(b"* 3 EXISTS\r\n"), Reply::Exists(3)));
    assert!(matches!(read(b"* 3 expunge\r\n"), Reply::Expunge));
    assert!(
        matches!(read(b"* SEARCH 3 1 2 (MODSEQ 9)\r\n"), Reply::Search(uids) if uids == [3, 1, 2])
    );
    assert!(matches!(read(b"* SEARCH\r\n"), Reply::Search(uids) if uids.is_empty()));
    assert!(matches!(read(b"+ idling\r\n"), Reply::Continue(text) if text == "idling"));
    assert!(matches!(read(b"+\r\n"), Reply::Continue(text) if text.is_empty()));
    assert!(matches!(read(b"* XYZZY (((\r\n"), Reply::Other));
    assert!(matches!(
        read(b"Server Unavailable. 15\r\n"),
        Reply::Stray(_)
    ));
}

#[test]
fn damaged_replies_never_panic() {
    let whole: [&[u8]; 4] = [
        b"* 12 FETCH (FLAGS (\\Seen) BODY[]<0> {6}\r\na\r\nb)c UID 7 INTERNALDATE \"7-Feb-2026 09:08:07 +0130\")\r\n",
        b"* LIST (\\Sent) \"/\" \"Entw&APw-rfe \\\"x\"\r\n",
        b"A1 NO [COPYUID 1 2:3 4] text\r\n",
        b"* SEARCH 1 2 (MODSEQ 3)\r\n",
    ];
    for reply in whole {
        for index in 0..reply.len() {
            read(&reply[..index]);
            for byte in *b"\0 (){}[]<>\"\\*+~&9\r\n\xff" {
                let mut damaged = reply.to_vec();
                damaged[index] = byte;
                read(&damaged);
            }
        }
    }
}
