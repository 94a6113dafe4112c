//! Header fields as lettre writes them, and what it writes so that a server or reader takes it for something else.

use std::fmt::{self, Write as _};

use email_encoding::headers::rfc2047;
use email_encoding::headers::writer::EmailWriter;
use lettre::message::header::{HeaderName, HeaderValue};

use super::super::address::NamedAddress;
use super::check::with_plain_spaces;

/// The line length at which lettre folds; RFC 2047 §2 allows no more beside an encoded word.
const FOLD_AT: usize = 76;
/// A longer word or gap could break the 998 octets of RFC 5322 §2.1.1: a gap is never parted, nor from the word behind.
const MAX_WORD: usize = 900;
const MAX_GAP: usize = 60;
/// Escaping can double a name, which has to fit one line if it has no spaces.
const MAX_QUOTED: usize = 200;

/// Encodes free text (RFC 5322 §2.2.1), as one run of encoded words where lettre would change it or break a line's limit.
pub(super) fn unstructured(name: HeaderName, value: &str) -> HeaderValue {
    // lettre folds at spaces alone: a tab between two of them could be a line, and some servers end the header there.
    let value = with_plain_spaces(value.trim());
    if is_kept_by_lettre(&value) {
        HeaderValue::new(name, value.into_owned())
    } else {
        encoded(name, |writer| rfc2047::encode(&value, writer))
    }
}

fn is_kept_by_lettre(value: &str) -> bool {
    // Readers would decode it.
    let looks_encoded = value.contains("=?");
    // RFC 2047 §6.2: what is between two encoded words is not shown, and lettre encodes word by word.
    let loses_spaces = !value.is_ascii() && value.contains("  ");
    let mut runs = value
        .as_bytes()
        .chunk_by(|left, right| (*left == b' ') == (*right == b' '));
    let is_foldable = runs.all(|run| {
        let is_gap = run.first() == Some(&b' ');
        run.len() <= if is_gap { MAX_GAP } else { MAX_WORD }
    });
    !looks_encoded && !loses_spaces && is_foldable
}

/// Encodes a list of mailboxes; lettre's own lists are never folded where a mailbox has no name.
pub(super) fn mailboxes(name: HeaderName, mailboxes: &[NamedAddress]) -> HeaderValue {
    encoded(name, |writer| {
        for (index, mailbox) in mailboxes.iter().enumerate() {
            if index > 0 {
                writer.write_char(',')?;
                writer.space();
            }
            write_mailbox(writer, mailbox)?;
        }
        Ok(())
    })
}

fn write_mailbox(writer: &mut EmailWriter<'_>, mailbox: &NamedAddress) -> fmt::Result {
    let name = mailbox.name.as_deref().unwrap_or_default().trim();
    if name.is_empty() {
        fold_before(writer, mailbox.address.len())?;
        return writer.write_str(&mailbox.address);
    }
    let is_printable = name.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    if is_printable && !name.contains("=?") && name.len() <= MAX_QUOTED {
        // lettre encodes each name that has a comma or an apostrophe, which SpamAssassin scores (FROM_EXCESS_BASE64).
        let quoted = name.replace('\\', "\\\\").replace('"', "\\\"");
        fold_before(writer, quoted.len() + 2)?;
        write!(writer.folding(), "\"{quoted}\"")?;
    } else {
        fold_before(writer, "=?utf-8?b??=".len() + name.len().div_ceil(3) * 4)?;
        rfc2047::encode(name, writer)?;
    }
    writer.space();
    fold_before(writer, mailbox.address.len() + 2)?;
    write!(writer, "<{}>", mailbox.address)
}

/// Begins a new line if there is white space to fold, and what follows does not fit the line together with a comma.
fn fold_before(writer: &mut EmailWriter<'_>, octets: usize) -> fmt::Result {
    let has_space = writer.projected_line_len() > writer.line_len();
    if has_space && writer.projected_line_len() + octets >= FOLD_AT {
        writer.new_line()?;
    }
    Ok(())
}

pub(super) fn encoded(
    name: HeaderName,
    write: impl FnOnce(&mut EmailWriter<'_>) -> fmt::Result,
) -> HeaderValue {
    let mut value = String::new();
    let mut writer = EmailWriter::new(&mut value, name.len() + ": ".len(), 0, false);
    // Writing into a String cannot fail.
    write(&mut writer).ok();
    drop(writer);
    // What lettre would read a header back from; nobody asks it to.
    let raw = String::new();
    HeaderValue::dangerous_new_pre_encoded(name, raw, value)
}

#[cfg(test)]
mod tests;
