use std::sync::LazyLock;

use mail_parser::{ContentType, Header, HeaderName, HeaderValue, MessageParser};

use super::clean::{clean_line, cut, cut_filename};
use super::encoded_word::header_text;
use super::field::{read_fields, unmask};
use super::transfer::TransferEncoding;

/// Multiparts within multiparts that are opened; deeper ones stay one part.
const MAX_DEPTH: usize = 16;
/// Parts that are listed; the raw mail has the rest.
const MAX_PARTS: usize = 256;
/// Header fields of one part that are read.
const MAX_PART_HEAD: usize = 32 * 1024;
/// Ids and types of parts are cut to this.
const MAX_NAME: usize = 255;
/// Octets of a file's name: 255 characters, as file systems allow, in UTF-8.
const MAX_FILENAME: usize = 1020;

/// What a part says about itself.
#[derive(Debug, Default)]
pub(super) struct PartHead {
    pub(super) media_type: String,
    pub(super) charset: Option<String>,
    boundary: Option<String>,
    pub(super) encoding: TransferEncoding,
    pub(super) filename: Option<String>,
    pub(super) content_id: Option<String>,
    pub(super) is_attachment: bool,
}

/// A part that is not opened further.
#[derive(Debug)]
pub(super) struct Leaf<'a> {
    pub(super) head: PartHead,
    pub(super) body: &'a [u8],
}

impl Leaf<'_> {
    /// Text that a reader shows as the mail itself.
    pub(super) fn is_body(&self) -> bool {
        !self.head.is_attachment
            && self.head.filename.is_none()
            && matches!(self.head.media_type.as_str(), "text/plain" | "text/html")
    }
}

/// A mail's parts in order.
#[derive(Debug, Default)]
pub(super) struct Tree<'a> {
    pub(super) leaves: Vec<Leaf<'a>>,
    pub(super) is_truncated: bool,
}

/// Splits a mail into its parts, in time proportional to its size.
pub(super) fn walk(raw: &[u8]) -> Tree<'_> {
    let mut tree = Tree::default();
    visit(&mut tree, raw, "text/plain", 0);
    tree
}

fn visit<'a>(tree: &mut Tree<'a>, entity: &'a [u8], default_type: &str, depth: usize) {
    if tree.leaves.len() >= MAX_PARTS {
        tree.is_truncated = true;
        return;
    }
    let (head, body) = split_head(entity);
    let mut head = part_head(head, default_type);
    if head.media_type.starts_with("multipart/")
        && let Some(boundary) = head
            .boundary
            .as_deref()
            .filter(|boundary| !boundary.is_empty())
    {
        if depth >= MAX_DEPTH {
            tree.is_truncated = true;
        } else {
            let parts = split_parts(body, boundary.as_bytes());
            let child_type = if head.media_type == "multipart/digest" {
                "message/rfc822"
            } else {
                "text/plain"
            };
            for part in &parts {
                visit(tree, part, child_type, depth + 1);
            }
            if !parts.is_empty() {
                return;
            }
            // A multipart without its boundary is shown as it is.
            "text/plain".clone_into(&mut head.media_type);
        }
    }
    tree.leaves.push(Leaf { head, body });
}

/// Splits after the first empty line; without one everything is head.
pub(super) fn split_head(entity: &[u8]) -> (&[u8], &[u8]) {
    let mut at = 0;
    for line in entity.split_inclusive(|byte| *byte == b'\n') {
        let end = at + line.len();
        if matches!(line, b"\n" | b"\r\n") {
            let (head, rest) = entity.split_at(at);
            return (head, rest.get(line.len()..).unwrap_or_default());
        }
        at = end;
    }
    (entity, &[])
}

/// Returns what lies between delimiter lines (RFC 2046 §5.1.1); the closing one may be missing.
fn split_parts<'a>(body: &'a [u8], boundary: &[u8]) -> Vec<&'a [u8]> {
    let mut parts = Vec::new();
    let mut at = 0;
    let mut start = None;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let line_start = at;
        at += line.len();
        let Some(rest) = line
            .strip_prefix(b"--")
            .and_then(|rest| rest.strip_prefix(boundary))
        else {
            continue;
        };
        let is_close = rest.starts_with(b"--");
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

static PARSER: LazyLock<MessageParser> = LazyLock::new(|| {
    MessageParser::new()
        .with_mime_headers()
        .default_header_ignore()
});

fn part_head(head: &[u8], default_type: &str) -> PartHead {
    let read = |_: &[u8], fields: &[Header<'_>]| {
        let mut part = PartHead::default();
        for field in fields {
            match (&field.name, &field.value) {
                (HeaderName::ContentType, HeaderValue::ContentType(value)) => {
                    part.set_content_type(value);
                }
                (HeaderName::ContentDisposition, HeaderValue::ContentType(value)) => {
                    part.set_disposition(value);
                }
                (HeaderName::ContentTransferEncoding, HeaderValue::Text(value)) => {
                    part.encoding = TransferEncoding::named(value.as_bytes());
                }
                (HeaderName::ContentId, HeaderValue::Text(value)) => part.content_id = name(value),
                _ => {}
            }
        }
        part
    };
    let mut part = read_fields(&PARSER, head, MAX_PART_HEAD, read).unwrap_or_default();
    if part.media_type.is_empty() {
        default_type.clone_into(&mut part.media_type);
    }
    part
}

impl PartHead {
    fn set_content_type(&mut self, value: &ContentType<'_>) {
        let subtype = value.subtype().unwrap_or(if value.ctype() == "text" {
            "plain"
        } else {
            "octet-stream"
        });
        let media_type = format!("{}/{subtype}", value.ctype());
        let mut media_type = clean_line(unmask(&media_type).into_owned()).to_ascii_lowercase();
        cut(&mut media_type, MAX_NAME);
        self.media_type = media_type;
        let attribute = |name| {
            value
                .attribute(name)
                .map(|value| unmask(value).into_owned())
        };
        self.charset = attribute("charset");
        self.boundary = attribute("boundary");
        if self.filename.is_none() {
            self.filename = value.attribute("name").and_then(name);
        }
    }

    fn set_disposition(&mut self, value: &ContentType<'_>) {
        self.is_attachment = value.is_attachment();
        if let Some(filename) = value.attribute("filename").and_then(name) {
            self.filename = Some(filename);
        }
    }
}

/// Many writers put encoded words where RFC 2231 wants its own form.
fn name(value: &str) -> Option<String> {
    let value = unmask(value);
    let mut name = if value.contains("=?") {
        header_text(value.as_bytes())
    } else {
        clean_line(value.into_owned())
    };
    cut_filename(&mut name, MAX_FILENAME);
    Some(name).filter(|name| !name.trim().is_empty())
}
