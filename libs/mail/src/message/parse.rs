use super::body::{self, Bodies};
use super::charset::lines_in_utf8;
use super::field::{split_head, with_line_feeds, without_leading_lines};
use super::head;
use super::mime::{Leaf, walk};
use super::parsed::{AttachmentContent, ParseProblem, ParsedAttachment, ParsedMail};

const MAX_HEAD: usize = 256 * 1024;

/// Reads a mail as far as it goes.
///
/// Takes some milliseconds for each megabyte: read large mails where blocking is allowed.
pub fn parse(raw: &[u8]) -> ParsedMail {
    read(raw, true)
}

/// Reads the beginning of a mail whose rest is not at hand: the size of the part that it ends in is not known.
pub fn parse_beginning(raw: &[u8]) -> ParsedMail {
    read(raw, false)
}

fn read(raw: &[u8], is_whole: bool) -> ParsedMail {
    let mail = with_line_feeds(raw);
    let mail = without_leading_lines(&mail);
    let (head, _) = split_head(mail);
    let tree = walk(mail);
    let mut texts = tree.leaves.iter().filter(|leaf| leaf.is_text());
    let charset = texts.find_map(|leaf| leaf.head.charset.as_deref());
    let fields = head.get(..MAX_HEAD).unwrap_or(head);
    let mut parsed = head::read(&lines_in_utf8(fields, charset.unwrap_or_default()));
    let chosen = body::choose(&tree.leaves);
    let mut bodies = Bodies::default();
    for ((part, leaf), is_body) in (1..).zip(&tree.leaves).zip(chosen) {
        let is_cut_off = !is_whole && leaf.body.as_ptr_range().end == mail.as_ptr_range().end;
        if is_body {
            bodies.add(leaf, is_cut_off);
        } else {
            let mut file = describe(part, leaf);
            file.bytes = file.bytes.filter(|_| !is_cut_off);
            parsed.attachments.push(file);
        }
    }
    bodies.derive_text();
    parsed.text_derived = bodies.is_derived;
    (parsed.text, parsed.html) = (bodies.text, bodies.html);
    parsed.attachments_truncated = tree.is_truncated;
    parsed.problem = if parsed.headers.is_empty() {
        Some(ParseProblem::NoHeader)
    } else if head.len() > MAX_HEAD {
        Some(ParseProblem::HeaderTooLong)
    } else if tree.is_truncated {
        Some(ParseProblem::TooManyParts)
    } else if tree.has_unopened {
        Some(ParseProblem::MultipartUnopened)
    } else {
        None
    };
    parsed
}

/// Returns one part's decoded content by the number that [`parse`] gave it.
pub fn attachment(raw: &[u8], part: u32) -> Option<AttachmentContent> {
    let index = usize::try_from(part.checked_sub(1)?).ok()?;
    let mail = with_line_feeds(raw);
    let tree = walk(without_leading_lines(&mail));
    let leaf = tree.leaves.get(index)?;
    Some(AttachmentContent {
        attachment: describe(part, leaf),
        content: leaf.head.encoding.decode(leaf.body, usize::MAX).into(),
    })
}

fn describe(part: u32, leaf: &Leaf<'_>) -> ParsedAttachment {
    ParsedAttachment {
        part,
        filename: leaf.head.filename.clone(),
        content_type: leaf.head.media_type.clone(),
        content_id: leaf.head.content_id.clone(),
        is_inline: leaf.is_inline(),
        bytes: Some(leaf.head.encoding.decoded_len(leaf.body)),
    }
}

#[cfg(test)]
mod tests;
