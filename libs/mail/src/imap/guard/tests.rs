use super::*;

const BOUNDS: Bounds = Bounds {
    line: 100,
    literal: 50,
    response: 120,
};

/// Feeds the bytes in two parts and returns the length found, or the error.
fn split_at(bytes: &[u8], cut: usize) -> Result<Option<usize>, GuardError> {
    let mut guard = Guard::new(BOUNDS);
    let head = bytes.get(..cut).unwrap_or_default();
    match guard.advance(head)? {
        Some(length) => Ok(Some(length)),
        None => guard.advance(bytes),
    }
}

#[test]
fn a_response_is_found_whatever_the_split() {
    let responses: [&[u8]; 9] = [
        b"* OK ready\r\n",
        b"* 1 FETCH (BODY[] {5}\r\na\r\nb\n)\r\n",
        b"* 1 FETCH (BODY[] {5+}\r\n}\r\n{9)\r\n",
        b"* 1 FETCH (BINARY[] ~{3}\r\n\0\r\n)\r\n",
        b"* LIST () \"/\" \"a{50}\"\r\n",
        b"* LIST () \"/\" {2}\r\nab\r\n",
        b"* 1 FETCH (X {0}\r\n Y {1}\r\n{)\r\n",
        b"* OK [ALERT] tell {40}\r\n",
        b"A1 NO see {7}\r\n",
    ];
    for response in responses {
        let mut more = response.to_vec();
        more.extend_from_slice(b"* 2 EXISTS\r\n");
        for cut in 0..=response.len() {
            let found = split_at(&more, cut);

            assert_eq!(found, Ok(Some(response.len())), "cut {cut} of {response:?}");
        }
    }
}

#[test]
fn a_huge_literal_is_refused_as_soon_as_it_is_announced() {
    let mut guard = Guard::new(BOUNDS);

    let found = guard.advance(b"* 1 FETCH (BODY[] {500000000}\r\n");

    assert_eq!(
        found,
        Err(GuardError::LiteralTooLarge {
            announced: 500_000_000,
            limit: 50
        })
    );
    let absurd = guard.advance(b"* 1 FETCH (BODY[] {99999999999999999999999}\r\n");
    assert!(matches!(
        absurd,
        Err(GuardError::LiteralTooLarge {
            announced: u64::MAX,
            ..
        })
    ));
}

#[test]
fn lines_and_many_small_literals_are_bounded() {
    let mut guard = Guard::new(BOUNDS);
    assert_eq!(
        guard.advance(&[b'a'; 101]),
        Err(GuardError::LineTooLong { limit: 100 })
    );

    let mut guard = Guard::new(BOUNDS);
    let many = b"x {1}\r\ny".repeat(40);
    assert_eq!(
        guard.advance(&many),
        Err(GuardError::ResponseTooLarge { limit: 120 })
    );
}

#[test]
fn a_literal_is_not_scanned_but_counted() {
    let mut guard = Guard::new(BOUNDS);

    assert_eq!(guard.advance(b"* 1 FETCH (BODY[] {20}\r\nab"), Ok(None));

    assert_eq!(guard.missing(26), 18);
}
