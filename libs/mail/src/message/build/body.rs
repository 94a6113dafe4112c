use std::fmt::Write as _;

use lettre::message::header::ContentTransferEncoding;
use lettre::message::{MultiPart, MultiPartBuilder, SinglePart};
use mailmesh_secrets::sha256;

use super::super::draft::{BuildError, Draft};
use super::attachment::{attachment_part, is_eight_bit};
use super::calendar::calendar_part;
use super::text::text_part;

/// A part of the body.
///
/// Written as lettre writes it, whose buffer grows by doubling: a large mail would take four times its size meanwhile.
pub(super) enum Part {
    Single(SinglePart),
    /// The multipart has the header fields and the boundary, and no parts.
    Multi(MultiPart, Vec<Part>),
}

impl Part {
    /// Returns how many octets [`Self::write_to`] writes.
    pub(super) fn len(&self) -> usize {
        const LINE_END: usize = 2;
        match self {
            Self::Single(part) => {
                let head = part.headers().to_string().len() + LINE_END;
                head + part.raw_body().len() + LINE_END
            }
            Self::Multi(multi, parts) => {
                let delimiter = 2 + multi.boundary().len() + LINE_END;
                let parts: usize = parts.iter().map(|part| delimiter + part.len()).sum();
                multi.headers().to_string().len() + LINE_END + parts + delimiter + 2
            }
        }
    }

    /// Appends the part; each of its own is dropped as soon as it is written.
    pub(super) fn write_to(self, out: &mut Vec<u8>) {
        match self {
            Self::Single(part) => {
                out.extend_from_slice(part.headers().to_string().as_bytes());
                out.extend_from_slice(b"\r\n");
                out.extend_from_slice(part.raw_body());
                out.extend_from_slice(b"\r\n");
            }
            Self::Multi(multi, parts) => {
                let boundary = multi.boundary();
                out.extend_from_slice(multi.headers().to_string().as_bytes());
                out.extend_from_slice(b"\r\n");
                for part in parts {
                    out.extend_from_slice(format!("--{boundary}\r\n").as_bytes());
                    part.write_to(out);
                }
                out.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
            }
        }
    }
}

/// Lays out `mixed(alternative(text, related(html, inline…), calendar), attachments…)`, leaving out every level with one part.
pub(super) fn lay_out(draft: &Draft, message_id: &str) -> Result<Part, BuildError> {
    let mut inline = Vec::new();
    let mut attached = Vec::new();
    for (index, attachment) in draft.attachments.iter().enumerate() {
        let part = attachment_part(&format!("attachments[{index}]"), attachment)?;
        if attachment.content_id.is_some() && draft.html.is_some() {
            inline.push(part);
        } else {
            attached.push(part);
        }
    }
    let is_eight_bit = inline.iter().chain(&attached).any(is_eight_bit);
    let begin = |multi: MultiPartBuilder, level: &str| {
        let multi = multi.boundary(boundary(level, message_id));
        if is_eight_bit {
            return multi.header(ContentTransferEncoding::EightBit).build();
        }
        multi.build()
    };
    let text = text_part("text", draft.text.as_deref())?.map(SinglePart::plain);
    let html = text_part("html", draft.html.as_deref())?.map(SinglePart::html);
    let html = html.map(|html| {
        if inline.is_empty() {
            return Part::Single(html);
        }
        let parts = std::iter::once(html).chain(inline).map(Part::Single);
        Part::Multi(begin(MultiPart::related(), "related"), parts.collect())
    });
    let calendar = draft.calendar.as_ref().map(calendar_part).transpose()?;
    // From the plainest to the richest (RFC 2046 §5.1.4): a reader shows the last that it can.
    let mut alternatives: Vec<Part> = text.map(Part::Single).into_iter().collect();
    alternatives.extend(html);
    alternatives.extend(calendar.map(Part::Single));
    let body = if alternatives.len() > 1 {
        let multi = begin(MultiPart::alternative(), "alternative");
        Some(Part::Multi(multi, alternatives))
    } else {
        alternatives.pop()
    };
    if attached.is_empty() {
        return Ok(body.unwrap_or_else(|| Part::Single(SinglePart::plain(String::new()))));
    }
    let parts = body.into_iter();
    let parts = parts.chain(attached.into_iter().map(Part::Single));
    Ok(Part::Multi(
        begin(MultiPart::mixed(), "mixed"),
        parts.collect(),
    ))
}

/// lettre would take a random one for each build.
fn boundary(level: &str, message_id: &str) -> String {
    let hash = sha256(format!("boundary\0{level}\0{message_id}").as_bytes());
    hash.iter().take(20).fold(String::new(), |mut text, byte| {
        // Writing into a String cannot fail.
        write!(text, "{byte:02x}").ok();
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_written_as_lettre_writes_them() {
        let text = || SinglePart::plain("text\r\nlines \u{e4}".to_owned());
        let html = || SinglePart::html("<p>html</p>".to_owned());
        let multi = |kind: MultiPartBuilder, level: &str| kind.boundary(boundary(level, "id"));
        let alternative = || multi(MultiPart::alternative(), "alternative");
        let mixed = || multi(MultiPart::mixed(), "mixed").header(ContentTransferEncoding::EightBit);
        let by_lettre = mixed().multipart(alternative().singlepart(text()).singlepart(html()));
        let by_lettre = by_lettre.singlepart(html());

        let inner = vec![Part::Single(text()), Part::Single(html())];
        let inner = Part::Multi(alternative().build(), inner);
        let whole = Part::Multi(mixed().build(), vec![inner, Part::Single(html())]);
        let (size, mut written) = (whole.len(), Vec::new());
        whole.write_to(&mut written);

        assert_eq!(written, by_lettre.formatted());
        assert_eq!(written.len(), size);
    }
}
