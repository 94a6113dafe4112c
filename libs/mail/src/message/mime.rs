use super::field::split_head;
use super::part::{Disposition, PartHead};

/// Multiparts within multiparts that are opened; deeper ones stay one part.
const MAX_DEPTH: usize = 16;
/// Parts that are listed; the raw mail has the rest.
const MAX_PARTS: usize = 256;

/// A part that is not opened further.
#[derive(Debug)]
pub(super) struct Leaf<'a> {
    pub(super) head: PartHead,
    pub(super) body: &'a [u8],
    place: PartRole,
}

impl Leaf<'_> {
    /// Returns whether the part is text of the kind that a mail's own is.
    pub(super) fn is_text(&self) -> bool {
        matches!(self.head.media_type.as_str(), "text/plain" | "text/html")
    }

    pub(super) fn is_html(&self) -> bool {
        self.head.media_type == "text/html"
    }

    /// Reads a mail that is nothing but text of a kind that is not known as plain text (RFC 2046 §4.1.4), unless it is data.
    fn take_as_plain(&mut self) {
        const DATA: [&str; 9] = [
            "calendar",
            "css",
            "csv",
            "directory",
            "javascript",
            "rtf",
            "vcard",
            "x-vcard",
            "xml",
        ];
        let subtype = self.head.media_type.strip_prefix("text/");
        if subtype.is_some_and(|subtype| subtype != "html" && !DATA.contains(&subtype)) {
            "text/plain".clone_into(&mut self.head.media_type);
        }
    }

    /// Returns whether the part is one of the forms in which the mail says the same.
    pub(super) fn is_alternative(&self) -> bool {
        self.place == PartRole::Alternative
    }

    /// Returns whether the part asks to be shown within the mail's text. In a `multipart/related` that is what parts are
    /// for (RFC 2387), if the text can name them.
    pub(super) fn is_inline(&self) -> bool {
        match self.head.disposition {
            Disposition::Inline => true,
            Disposition::Attachment => false,
            Disposition::Unsaid => self.place == PartRole::Related && self.head.has_reference,
        }
    }
}

/// What a part is to the mail.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum PartRole {
    #[default]
    Any,
    /// One of several forms of the same content.
    Alternative,
    /// Something that the text refers to.
    Related,
}

impl PartRole {
    fn of_child(self, parent_type: &str, index: usize) -> Self {
        match parent_type {
            "multipart/alternative" => Self::Alternative,
            // The first is what the whole stands for.
            _ if index == 0 => self,
            "multipart/related" => Self::Related,
            _ => Self::Any,
        }
    }
}

/// A mail's parts in order.
#[derive(Debug, Default)]
pub(super) struct Tree<'a> {
    pub(super) leaves: Vec<Leaf<'a>>,
    pub(super) is_truncated: bool,
    /// Whether there is a multipart whose parts could not be told apart.
    pub(super) has_unopened: bool,
}

/// Splits a mail into its parts, in time proportional to its size.
pub(super) fn walk(mail: &[u8]) -> Tree<'_> {
    let mut tree = Tree::default();
    tree.visit(mail, "text/plain", PartRole::Any, 0);
    if let [only] = tree.leaves.as_mut_slice() {
        only.take_as_plain();
    }
    tree
}

impl<'a> Tree<'a> {
    fn visit(&mut self, entity: &'a [u8], default_type: &str, place: PartRole, depth: usize) {
        if self.leaves.len() >= MAX_PARTS {
            self.is_truncated = true;
            return;
        }
        let (head, body) = split_head(entity);
        let mut texts = self.leaves.iter().filter(|leaf| leaf.is_text());
        let text_set = texts.find_map(|leaf| leaf.head.charset.as_deref());
        let mut head = PartHead::read(head, default_type, text_set);
        if head.media_type.starts_with("multipart/") {
            if depth >= MAX_DEPTH {
                self.is_truncated = true;
            } else if self.visit_parts(&head, body, place, depth) {
                return;
            } else {
                // Shown as it is.
                self.has_unopened = true;
                "text/plain".clone_into(&mut head.media_type);
            }
        }
        self.leaves.push(Leaf { head, body, place });
    }

    /// Returns whether there were any.
    fn visit_parts(
        &mut self,
        head: &PartHead,
        body: &'a [u8],
        place: PartRole,
        depth: usize,
    ) -> bool {
        let Some(boundary) = &head.boundary else {
            return false;
        };
        let parts = split_parts(body, boundary);
        let child_type = if head.media_type == "multipart/digest" {
            "message/rfc822"
        } else {
            "text/plain"
        };
        for (index, part) in parts.iter().enumerate() {
            let place = place.of_child(&head.media_type, index);
            self.visit(part, child_type, place, depth + 1);
        }
        !parts.is_empty()
    }
}

/// Returns what lies between delimiter lines (RFC 2046 §5.1.1); the closing one may be missing.
fn split_parts<'a>(body: &'a [u8], boundary: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let mut at = 0;
    let mut start = None;
    for line in body.split_inclusive(|octet| *octet == b'\n') {
        let line_start = at;
        at += line.len();
        let Some(rest) = line
            .strip_prefix(b"--")
            .and_then(|rest| rest.strip_prefix(boundary))
        else {
            continue;
        };
        // More after it makes it another, longer boundary.
        let closing = rest.strip_prefix(b"--").map(<[u8]>::trim_ascii);
        let is_close = closing.is_some_and(<[u8]>::is_empty);
        if !is_close && !rest.trim_ascii().is_empty() {
            continue;
        }
        if let Some(start) = start {
            parts.push(without_line_end(
                body.get(start..line_start).unwrap_or_default(),
            ));
        }
        start = Some(at);
        if is_close {
            return parts;
        }
        if parts.len() > MAX_PARTS {
            break;
        }
    }
    if let Some(rest) = start.and_then(|start| body.get(start..))
        && !rest.is_empty()
    {
        parts.push(rest);
    }
    parts
}

/// The line end before a delimiter belongs to the delimiter.
fn without_line_end(part: &[u8]) -> &[u8] {
    let part = part.strip_suffix(b"\n").unwrap_or(part);
    part.strip_suffix(b"\r").unwrap_or(part)
}
