//! A mail's own text: which parts are it, and how they read.

use super::charset::{Charset, text};
use super::clean::cut;
use super::flowed::without_soft_breaks;
use super::html;
use super::mime::Leaf;
use super::parsed::InlineText;
use super::part::Disposition;

/// Inline text is cut to this.
const MAX_INLINE: usize = 64 * 1024;
/// Enough of a part in any character set to fill the inline text.
const MAX_TEXT_SOURCE: usize = 4 * MAX_INLINE;

/// Says of each part whether it is the mail's own text.
pub(super) fn choose(leaves: &[Leaf<'_>]) -> Vec<bool> {
    let mut chosen: Vec<bool> = leaves.iter().map(is_body).collect();
    for (index, leaf) in leaves.iter().enumerate() {
        // A form of the mail itself is no attachment, even if it says so.
        let mut others = leaves
            .iter()
            .zip(&chosen)
            .filter(|(_, is_chosen)| **is_chosen);
        if leaf.is_text()
            && leaf.is_alternative()
            && !others.any(|(other, _)| other.is_html() == leaf.is_html())
            && let Some(is_chosen) = chosen.get_mut(index)
        {
            *is_chosen = true;
        }
    }
    if !chosen.contains(&true) {
        // Some programs give the text of a mail the name of a file.
        let is_named_text =
            |leaf: &Leaf<'_>| leaf.is_text() && leaf.head.disposition != Disposition::Attachment;
        let first = leaves.iter().position(is_named_text);
        if let Some(is_chosen) = first.and_then(|index| chosen.get_mut(index)) {
            *is_chosen = true;
        }
    }
    chosen
}

fn is_body(leaf: &Leaf<'_>) -> bool {
    leaf.is_text()
        && leaf.head.disposition != Disposition::Attachment
        && (leaf.head.filename.is_none() || leaf.is_alternative())
}

/// The text while its parts are read. Several of one kind are one text, as readers show it.
#[derive(Debug, Default)]
pub(super) struct Bodies {
    pub(super) text: Option<InlineText>,
    pub(super) html: Option<InlineText>,
    /// Whether the text was made from the HTML.
    pub(super) is_derived: bool,
}

impl Bodies {
    /// Adds a part, of which the rest may not be at hand.
    pub(super) fn add(&mut self, leaf: &Leaf<'_>, is_cut_off: bool) {
        let decoded = leaf.head.encoding.decode(leaf.body, MAX_TEXT_SOURCE);
        let content = content(leaf, &decoded);
        let target = if leaf.is_html() {
            &mut self.html
        } else {
            &mut self.text
        };
        let text = target.get_or_insert_default();
        if !text.content.is_empty() {
            text.content.push('\n');
        }
        text.content.push_str(&content);
        let is_cut = cut(&mut text.content, MAX_INLINE);
        text.truncated |= is_cut || is_cut_off || decoded.len() >= MAX_TEXT_SOURCE;
    }

    /// Makes the text from the HTML where the mail has none.
    pub(super) fn derive_text(&mut self) {
        let is_blank = |text: &InlineText| text.content.trim().is_empty();
        if self.text.as_ref().is_none_or(is_blank)
            && let Some(html) = &self.html
            && let Some(mut content) = html::to_text(&html.content)
        {
            let truncated = cut(&mut content, MAX_INLINE) | html.truncated;
            self.text = Some(InlineText { content, truncated });
            self.is_derived = true;
        }
    }
}

fn content(leaf: &Leaf<'_>, decoded: &[u8]) -> String {
    let label = leaf.head.charset.as_deref();
    let is_said = label
        .and_then(Charset::named)
        .is_some_and(|charset| !matches!(charset, Charset::Ascii));
    if leaf.is_html() && !is_said {
        let inner = html::charset_label(decoded);
        return text(decoded, inner.as_deref().or(label));
    }
    let text = text(decoded, label);
    if leaf.head.is_delsp {
        without_soft_breaks(&text)
    } else {
        text
    }
}
