use std::fmt::Write as _;

use lettre::message::header::ContentTransferEncoding;
use lettre::message::{MultiPart, MultiPartBuilder, SinglePart};
use mailmesh_secrets::sha256;

use super::super::draft::{BuildError, Draft};
use super::attachment::{attachment_part, is_eight_bit};
use super::calendar::calendar_part;
use super::text::text_part;

/// lettre's two kinds of part share no trait that shows.
pub(super) enum Part {
    Single(SinglePart),
    Multi(MultiPart),
}

impl Part {
    pub(super) fn formatted(&self) -> Vec<u8> {
        match self {
            Self::Single(part) => part.formatted(),
            Self::Multi(part) => part.formatted(),
        }
    }

    fn add_to(self, multi: MultiPart) -> MultiPart {
        match self {
            Self::Single(part) => multi.singlepart(part),
            Self::Multi(part) => multi.multipart(part),
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
            return multi.header(ContentTransferEncoding::EightBit);
        }
        multi
    };
    let text = text_part("text", draft.text.as_deref())?.map(SinglePart::plain);
    let html = text_part("html", draft.html.as_deref())?.map(SinglePart::html);
    let html = html.map(|html| {
        if inline.is_empty() {
            return Part::Single(html);
        }
        let related = begin(MultiPart::related(), "related").singlepart(html);
        Part::Multi(inline.into_iter().fold(related, MultiPart::singlepart))
    });
    let calendar = draft.calendar.as_ref().map(calendar_part).transpose()?;
    // From the plainest to the richest (RFC 2046 §5.1.4): a reader shows the last that it can.
    let mut alternatives: Vec<Part> = text.map(Part::Single).into_iter().collect();
    alternatives.extend(html);
    alternatives.extend(calendar.map(Part::Single));
    let body = if alternatives.len() > 1 {
        let multi = begin(MultiPart::alternative(), "alternative").build();
        let add = |multi, part: Part| part.add_to(multi);
        Some(Part::Multi(alternatives.into_iter().fold(multi, add)))
    } else {
        alternatives.pop()
    };
    if attached.is_empty() {
        return Ok(body.unwrap_or_else(|| Part::Single(SinglePart::plain(String::new()))));
    }
    let mixed = begin(MultiPart::mixed(), "mixed").build();
    let mixed = match body {
        Some(body) => body.add_to(mixed),
        None => mixed,
    };
    Ok(Part::Multi(
        attached.into_iter().fold(mixed, MultiPart::singlepart),
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
