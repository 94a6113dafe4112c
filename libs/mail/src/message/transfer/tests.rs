use super::*;

#[test]
fn damaged_encodings_are_read_as_far_as_they_go() {
    for (encoding, body, expected) in [
        (
            TransferEncoding::Base64,
            &b"SGVs\r\nbG8="[..],
            &b"Hello"[..],
        ),
        (TransferEncoding::Base64, b"SGVs!bG8=SGk=", b"HelloHi"),
        (TransferEncoding::Base64, b"SGVsbG", b"Hell"),
        (
            TransferEncoding::QuotedPrintable,
            b"a=3D=\r\nb=  \r\n=ZZ=4",
            b"a=b=ZZ=4",
        ),
        (TransferEncoding::QuotedPrintable, b"=C3=A4=", b"\xc3\xa4"),
        (
            TransferEncoding::QuotedPrintable,
            b"a  b \t\r\n c=20 \nd ",
            b"a  b\r\n c \nd",
        ),
        (TransferEncoding::Plain, b"a=3D", b"a=3D"),
    ] {
        check(encoding, body, expected);
    }
}

#[test]
fn base64_ends_where_other_text_begins() {
    for (body, expected) in [
        (&b"SGVsbG8=\r\nSGk=\r\n"[..], &b"HelloHi"[..]),
        (b"SGVsbG8=\r\n\r\n-- \r\nregards\r\n", b"Hello"),
        (
            b"SGVsbG8=\r\n______________\r\nvirus checked by example\r\n",
            b"Hello",
        ),
        (b"SGVsbG8=\r\nEnd of file", b"Hello"),
        (b"SGVs\r\n\r\n----- cut here -----\r\n", b"Hel"),
        (b"SGVs\r\n\r\nThis mail was scanned.\r\n", b"Hel"),
        (b"SGVs\r\n***\r\nscanned\r\n", b"Hel"),
        (b"S G V s\r\nbG9v\r\n", b"Helloo"),
        (b"SGVs bG9v SGVs\r\nbG9v", b"HellooHelloo"),
        (
            b"This is not base64 at all, just text.",
            b"This is not base64 at all, just text.",
        ),
    ] {
        check(TransferEncoding::Base64, body, expected);
    }
}

#[test]
fn uuencoded_octets_are_read_between_begin_and_end() {
    for (body, expected) in [
        (
            &b"begin 644 a.csv\r\n#86)C\r\n`\r\nend\r\n"[..],
            &b"abc"[..],
        ),
        (
            b"text\nbegin 644 a\n+:&5L;&\\@=V]R;&0 \n`\nend\nmore",
            b"hello world",
        ),
        // The space at the end was lost, and so was the end.
        (b"begin 644 a\n+:&5L;&\\@=V]R;&0", b"hello world"),
        (b"begin 644 a\n#86)C\n#86)C\n \nend\n", b"abcabc"),
        (b"no such thing", b"no such thing"),
    ] {
        check(TransferEncoding::Uuencode, body, expected);
    }
}

#[test]
fn encodings_are_known_by_many_spellings() {
    for (encoding, values) in [
        (
            TransferEncoding::Base64,
            &[
                "base64",
                " BASE64",
                "\"base64\"",
                "base64 (yes)",
                "(really) base64;",
                "base-64",
                "x-base64",
                "base64,",
                "'base64'",
            ][..],
        ),
        (
            TransferEncoding::QuotedPrintable,
            &[
                "quoted-printable",
                "Quoted-Printable (note)",
                "\"quoted-printable\"",
                "quoted printable",
                "quoted_printable",
                "QuotedPrintable",
                "quoted-printable;",
                "\r\n quoted-printable",
            ],
        ),
        (
            TransferEncoding::Uuencode,
            &[
                "x-uuencode",
                "uuencode",
                "X-UUE",
                "x-uu",
                "uuencode (a.txt)",
            ],
        ),
        (
            TransferEncoding::Plain,
            &["7bit", "8bit", "binary", "", "x-unheard-of", "(base64)"],
        ),
    ] {
        for value in values {
            assert_eq!(
                TransferEncoding::named(value.as_bytes()),
                encoding,
                "{value}"
            );
        }
    }
}

fn check(encoding: TransferEncoding, body: &[u8], expected: &[u8]) {
    let shown = String::from_utf8_lossy(body);
    assert_eq!(encoding.decode(body, 1000), expected, "{shown}");
    assert_eq!(encoding.decoded_len(body), expected.len() as u64, "{shown}");
    assert_eq!(
        encoding.decode(body, 2),
        expected.get(..2).unwrap(),
        "{shown}"
    );
}
