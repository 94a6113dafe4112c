use super::charset::text;
use super::clean::cut;
use super::head;
use super::mime::{Leaf, split_head, walk};
use super::parsed::{Attachment, AttachmentContent, InlineText, ParseProblem, Parsed};

/// Inline text is cut to this.
const MAX_INLINE: usize = 64 * 1024;
/// Enough of a part in any character set to fill the inline text.
const MAX_TEXT_SOURCE: usize = 4 * MAX_INLINE;
const MAX_HEAD: usize = 256 * 1024;

/// Reads a mail, or the beginning of one, as far as it goes.
///
/// Takes some milliseconds for each megabyte: read large mails where blocking is allowed.
pub fn parse(raw: &[u8]) -> Parsed {
    let (head, _) = split_head(raw);
    let (mut parsed, head_problem) = match head::read(head, MAX_HEAD) {
        None => (Parsed::default(), Some(ParseProblem::HeaderUnreadable)),
        Some(parsed) if parsed.headers.is_empty() => (parsed, Some(ParseProblem::NoHeader)),
        Some(parsed) if head.len() > MAX_HEAD => (parsed, Some(ParseProblem::HeaderTooLong)),
        Some(parsed) => (parsed, None),
    };
    let tree = walk(raw);
    for (part, leaf) in (1..).zip(&tree.leaves) {
        if leaf.is_body() {
            add_text(&mut parsed, leaf);
        } else {
            parsed.attachments.push(describe(part, leaf));
        }
    }
    parsed.attachments_truncated = tree.is_truncated;
    parsed.problem = head_problem.or(tree.is_truncated.then_some(ParseProblem::TooManyParts));
    parsed
}

/// Returns one part's decoded content by the number that [`parse`] gave it.
pub fn attachment(raw: &[u8], part: u32) -> Option<AttachmentContent> {
    let index = usize::try_from(part.checked_sub(1)?).ok()?;
    let tree = walk(raw);
    let leaf = tree.leaves.get(index)?;
    Some(AttachmentContent {
        attachment: describe(part, leaf),
        content: leaf.head.encoding.decode(leaf.body, usize::MAX).into(),
    })
}

fn describe(part: u32, leaf: &Leaf<'_>) -> Attachment {
    Attachment {
        part,
        filename: leaf.head.filename.clone(),
        content_type: leaf.head.media_type.clone(),
        content_id: leaf.head.content_id.clone(),
        is_inline: !leaf.head.is_attachment,
        bytes: leaf.head.encoding.decoded_len(leaf.body),
    }
}

fn add_text(parsed: &mut Parsed, leaf: &Leaf<'_>) {
    let target = if leaf.head.media_type == "text/html" {
        &mut parsed.html
    } else {
        &mut parsed.text
    };
    let decoded = leaf.head.encoding.decode(leaf.body, MAX_TEXT_SOURCE);
    let is_cut_source = decoded.len() >= MAX_TEXT_SOURCE;
    let content = text(&decoded, leaf.head.charset.as_deref());
    match target {
        // Several inline texts are one body, as readers show it.
        Some(text) => {
            text.content.push('\n');
            text.content.push_str(&content);
        }
        None => {
            *target = Some(InlineText {
                content,
                truncated: false,
            });
        }
    }
    if let Some(text) = target {
        let is_cut = cut(&mut text.content, MAX_INLINE);
        text.truncated |= is_cut || is_cut_source;
    }
}

#[cfg(test)]
mod tests;
