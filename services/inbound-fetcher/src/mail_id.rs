use std::fmt::Write;

use aws_lc_rs::digest;
use mailmesh_domain::{AccountId, MailId, Position};

/// Derives a mail's id from where it stands and its content, so that whoever reads it again finds the same.
pub(crate) fn derive(
    account: AccountId,
    folder: &str,
    position: &Position,
    sha256: &[u8; 32],
) -> MailId {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(account.as_uuid().as_bytes());
    context.update(&length(folder.as_bytes()).to_be_bytes());
    context.update(folder.as_bytes());
    context.update(&position.identity());
    context.update(sha256);
    let mut id = [0; 16];
    let digest = context.finish();
    for (to, from) in id.iter_mut().zip(digest.as_ref()) {
        *to = *from;
    }
    // Version 8: a UUID whose bits have a meaning of our own (RFC 9562).
    MailId::from_uuid(uuid::Builder::from_custom_bytes(id).into_uuid())
}

pub(crate) fn length(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a string never fails.
        write!(text, "{byte:02x}").ok();
    }
    text
}

pub(crate) fn from_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    if text.len() != 64 {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;

    fn id(folder: &str, uid: u32, sha256: u8) -> MailId {
        let account = AccountId::from_uuid(Uuid::from_u128(7));
        derive(account, folder, &Position::imap(3, uid), &[sha256; 32])
    }

    #[test]
    fn ids_are_the_same_for_the_same_mail_and_differ_in_every_part() {
        let first = id("INBOX", 1, 0);

        assert_eq!(first, id("INBOX", 1, 0));
        assert_eq!(first.as_uuid().get_version_num(), 8);
        for other in [id("INBOX2", 1, 0), id("INBOX", 2, 0), id("INBOX", 1, 1)] {
            assert_ne!(first, other);
        }
    }

    #[test]
    fn imap_ids_are_those_of_earlier_releases() {
        let id = id("INBOX", 1, 0).to_string();

        assert_eq!(id, "e0595ce9-505d-8395-99f2-6edaab7e626a");
    }

    #[test]
    fn imap_ids_differ_by_all_of_uidvalidity_and_by_restarts_of_the_numbering() {
        let account = AccountId::from_uuid(Uuid::from_u128(7));
        let id = |uid_validity: u64, restarts: u32| {
            let position = Position::Imap {
                uid_validity,
                uid: 1,
                restarts,
            };
            derive(account, "INBOX", &position, &[0; 32])
        };
        let wide = 3 + (1 << 32);

        let ids = [id(3, 0), id(3, 1), id(3, 2), id(wide, 0), id(wide, 1)];

        let different: std::collections::HashSet<_> = ids.iter().collect();
        assert_eq!(different.len(), ids.len());
    }

    #[test]
    fn pop3_ids_differ_by_uidl_and_content() {
        let account = AccountId::from_uuid(Uuid::from_u128(7));
        let id = |uidl: Option<&str>, sha256: u8| {
            let uidl = uidl.map(ToOwned::to_owned);
            derive(account, "INBOX", &Position::Pop3 { uidl }, &[sha256; 32])
        };

        assert_eq!(id(Some("a"), 0), id(Some("a"), 0));
        for other in [id(Some("b"), 0), id(Some("a"), 1), id(None, 0)] {
            assert_ne!(id(Some("a"), 0), other);
        }
    }

    #[test]
    fn hashes_are_written_and_read_back() {
        let hash = mailmesh_secrets::sha256(b"abc");

        assert_eq!(from_hex(&to_hex(&hash)), Some(hash));
        for bad in ["", "zz", &"é".repeat(32), &"0".repeat(63)] {
            assert_eq!(from_hex(bad), None, "{bad}");
        }
    }
}
