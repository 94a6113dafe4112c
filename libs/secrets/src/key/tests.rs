use super::*;

const CONTEXT: SealContext = SealContext {
    table: "grants",
    column: "refresh_token",
    row: [7; 16],
};
const PLAIN: &str = "1//0g-PLANTED-refresh-token";

fn plain() -> SecretString {
    SecretString::from(PLAIN)
}

#[test]
fn what_is_sealed_opens_in_its_place() {
    let keys = OpeningKeys::generate().unwrap();

    for text in [PLAIN, "", "ä€", &"x".repeat(100_000)] {
        let sealed = keys
            .sealing_key()
            .seal(&SecretString::from(text), &CONTEXT)
            .unwrap();
        let stored = SealedSecret::from_bytes(sealed.into_bytes()).unwrap();
        assert_eq!(keys.open(&stored, &CONTEXT).unwrap().expose_secret(), text);
    }
}

#[test]
fn another_place_is_refused() {
    let keys = OpeningKeys::generate().unwrap();
    let sealed = keys.sealing_key().seal(&plain(), &CONTEXT).unwrap();

    let mut row = CONTEXT.row;
    row[15] ^= 1;
    for wrong in [
        SealContext {
            table: "clients",
            ..CONTEXT
        },
        SealContext {
            column: "access_token",
            ..CONTEXT
        },
        SealContext { row, ..CONTEXT },
    ] {
        assert_eq!(keys.open(&sealed, &wrong).unwrap_err(), OpenError::Refused);
    }
}

#[test]
fn a_bit_flipped_anywhere_is_refused() {
    let keys = OpeningKeys::generate().unwrap();
    let sealed = keys.sealing_key().seal(&plain(), &CONTEXT).unwrap();

    for position in 0..sealed.as_bytes().len() * 8 {
        let mut bytes = sealed.as_bytes().to_vec();
        bytes[position / 8] ^= 1 << (position % 8);
        let opened = SealedSecret::from_bytes(bytes).map(|sealed| keys.open(&sealed, &CONTEXT));
        assert!(!matches!(opened, Ok(Ok(_))), "bit {position}");
    }
}

#[test]
fn a_shortened_or_foreign_blob_is_refused() {
    let keys = OpeningKeys::generate().unwrap();
    let sealed = keys.sealing_key().seal(&plain(), &CONTEXT).unwrap();

    for length in 0..sealed.as_bytes().len() {
        let opened = SealedSecret::from_bytes(&sealed.as_bytes()[..length])
            .map(|sealed| keys.open(&sealed, &CONTEXT));
        assert!(!matches!(opened, Ok(Ok(_))), "{length} bytes");
    }
    assert!(SealedSecret::from_bytes(vec![2; 100]).is_err());
}

#[test]
fn the_same_secret_never_looks_the_same() {
    let key = OpeningKeys::generate().unwrap().sealing_key();

    let (one, other) = (
        key.seal(&plain(), &CONTEXT).unwrap(),
        key.seal(&plain(), &CONTEXT).unwrap(),
    );

    assert_ne!(one.as_bytes(), other.as_bytes());
}

#[test]
fn a_key_that_is_not_there_is_named() {
    let sealed = OpeningKeys::generate()
        .unwrap()
        .sealing_key()
        .seal(&plain(), &CONTEXT)
        .unwrap();

    let refused = OpeningKeys::generate().unwrap().open(&sealed, &CONTEXT);

    assert_eq!(
        refused.unwrap_err(),
        OpenError::UnknownKey {
            key_id: sealed.key_id()
        }
    );
}

#[test]
fn a_new_key_opens_before_it_seals_and_the_old_one_afterwards() {
    let before = OpeningKeys::generate().unwrap();
    let old = before.sealing_key().seal(&plain(), &CONTEXT).unwrap();
    assert!(before.promote().is_none());

    let during = before.add().unwrap();
    let after = during.promote().unwrap();
    let new = after.sealing_key().seal(&plain(), &CONTEXT).unwrap();

    assert_eq!(during.sealing_key(), before.sealing_key());
    for keys in [&during, &after] {
        assert_eq!(keys.open(&old, &CONTEXT).unwrap().expose_secret(), PLAIN);
        assert_eq!(keys.open(&new, &CONTEXT).unwrap().expose_secret(), PLAIN);
    }
    assert!(before.open(&new, &CONTEXT).is_err());
    assert!(!during.needs_reseal(&old) && after.needs_reseal(&old) && !after.needs_reseal(&new));
    assert_eq!(after.key_ids(), [new.key_id(), old.key_id()]);
}

#[test]
fn key_files_are_read_back() {
    let keys = OpeningKeys::generate().unwrap().add().unwrap();
    let sealed = keys.sealing_key().seal(&plain(), &CONTEXT).unwrap();

    let text = keys.to_file_text().unwrap();
    let commented = format!("# made by hand\n\n  {}", text.expose_secret());
    let read = OpeningKeys::parse(&SecretString::from(commented)).unwrap();
    let sealing = SealingKey::parse(&keys.sealing_key().to_file_text()).unwrap();

    assert_eq!(read.key_ids(), keys.key_ids());
    assert_eq!(read.open(&sealed, &CONTEXT).unwrap().expose_secret(), PLAIN);
    assert_eq!(sealing, keys.sealing_key());
}

#[test]
fn bad_key_files_are_refused_by_line() {
    let keys = OpeningKeys::generate().unwrap();
    let opening = keys.to_file_text().unwrap();
    let sealing = keys.sealing_key().to_file_text();

    let parse = |text: &str| OpeningKeys::parse(&SecretString::from(text)).map(|_| ());
    let not_a_key = |line, expected| KeyFileError::NotAKey { line, expected };
    assert_eq!(parse("# nothing\n"), Err(KeyFileError::NoKey));
    assert_eq!(parse(&sealing), Err(not_a_key(1, OPENING_PREFIX)));
    assert_eq!(
        parse(&format!(
            "{}mailmesh-opening-key:AAAA",
            opening.expose_secret()
        )),
        Err(not_a_key(2, OPENING_PREFIX))
    );
    // An opening key where the public one is wanted would hand the writer the means to read.
    assert_eq!(
        SealingKey::parse(opening.expose_secret()),
        Err(not_a_key(1, SEALING_PREFIX))
    );
    assert_eq!(
        SealingKey::parse(&format!("{sealing}{sealing}")),
        Err(KeyFileError::SecondKey { line: 2 })
    );
}

#[test]
fn debug_and_errors_show_no_secret() {
    let keys = OpeningKeys::generate().unwrap();
    let text = keys.to_file_text().unwrap();
    let seed = text
        .expose_secret()
        .trim()
        .strip_prefix(OPENING_PREFIX)
        .unwrap();
    let sealed = keys.sealing_key().seal(&plain(), &CONTEXT).unwrap();
    let bad = format!("mailmesh-opening-key:{seed}PLANTED");

    let shown = format!(
        "{keys:?} {sealed:?} {:?} {:?} {text:?}",
        keys.sealing_key(),
        OpeningKeys::parse(&SecretString::from(bad)),
    );

    assert!(
        !shown.contains(seed) && !shown.contains("PLANTED"),
        "{shown}"
    );
    assert!(shown.contains(&sealed.key_id().to_string()));
}
