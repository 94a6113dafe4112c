//! What HTML says of its character set, and what it says to who reads plain text.

use std::panic::{AssertUnwindSafe, catch_unwind};

use html2text::render::TrivialDecorator;
use html2text::{Handle, config};

/// The Encoding Standard's prescan ends at 1 KiB; mail programs put styles before it.
const MAX_PRESCAN: usize = 4 * 1024;
/// Elements within elements. The renderer takes time by the square of their number, and so does what it writes.
const MAX_DEPTH: usize = 256;
/// The same as counted before the parser is asked, which also takes time by the square: more than this is nobody's mail.
const MAX_OPEN_TAGS: usize = 1_000;
/// Elements that hold nothing, or that the next of their kind ends (HTML §13.1.2.4): many stand open in old mail.
const UNNESTED: [&str; 20] = [
    "area", "base", "br", "col", "dd", "dt", "hr", "img", "input", "li", "link", "meta", "option",
    "p", "source", "tbody", "td", "th", "tr", "wbr",
];
/// Lines are not broken, save that each is held as a whole.
const LINE_WIDTH: usize = 10_000;

/// Returns the label that a `<meta>` element or an XML declaration names.
pub(super) fn charset_label(octets: &[u8]) -> Option<String> {
    let octets = octets.get(..MAX_PRESCAN).unwrap_or(octets);
    let head = String::from_utf8_lossy(octets).to_ascii_lowercase();
    if let Some((declaration, _)) = head
        .trim_start()
        .strip_prefix("<?xml")
        .and_then(|rest| rest.split_once('>'))
        && let Some(label) = value_of(declaration, "encoding")
    {
        return Some(label);
    }
    let metas = head.split("<meta").skip(1);
    let mut labels = metas.filter_map(|meta| {
        let meta = meta.split_once('>').map_or(meta, |(meta, _)| meta);
        value_of(meta, "charset")
    });
    labels.next()
}

fn value_of(attributes: &str, name: &str) -> Option<String> {
    let mut rest = attributes;
    while let Some((_, after)) = rest.split_once(name) {
        rest = after;
        if let Some(value) = after.trim_start().strip_prefix('=') {
            let value = value.trim_start_matches(|mark: char| {
                mark.is_whitespace() || mark == '"' || mark == '\''
            });
            let is_end = |character: char| {
                !(character.is_ascii_alphanumeric() || "-_.:".contains(character))
            };
            let end = value.find(is_end).unwrap_or(value.len());
            let label = value.get(..end).filter(|label| !label.is_empty());
            return label.map(str::to_owned);
        }
    }
    None
}

/// Makes plain text of HTML; `None` where there is none, or where it is nested too deeply to be read in good time.
pub(super) fn to_text(html: &str) -> Option<String> {
    if has_many_open_tags(html) {
        return None;
    }
    let render = || {
        let config = config::with_decorator(TrivialDecorator::new())
            .raw_mode(true)
            .no_link_wrapping()
            .allow_width_overflow();
        let dom = config.parse_html(html.as_bytes()).ok()?;
        if is_deep(&dom.document) {
            return None;
        }
        let tree = config.dom_to_render_tree(&dom).ok()?;
        config.render_to_string(tree, LINE_WIDTH).ok()
    };
    // One mail must not stop the next, whatever the renderer makes of it.
    let text = catch_unwind(AssertUnwindSafe(render)).ok()??;
    Some(text).filter(|text| !text.trim().is_empty())
}

fn has_many_open_tags(html: &str) -> bool {
    let mut open = 0_usize;
    for tag in html.split('<').skip(1) {
        let end =
            tag.find(|character: char| !character.is_ascii_alphanumeric() && character != '/');
        let name = tag.get(..end.unwrap_or(tag.len())).unwrap_or_default();
        let name = name.trim_end_matches('/').to_ascii_lowercase();
        if let Some(name) = name.strip_prefix('/') {
            open = open.saturating_sub(usize::from(!UNNESTED.contains(&name)));
        } else if !name.is_empty() && !UNNESTED.contains(&name.as_str()) {
            open += 1;
        }
        if open > MAX_OPEN_TAGS {
            return true;
        }
    }
    false
}

fn is_deep(document: &Handle) -> bool {
    let mut open = vec![(document.clone(), 0)];
    while let Some((node, depth)) = open.pop() {
        if depth > MAX_DEPTH {
            return true;
        }
        let children = node.children.borrow();
        open.extend(children.iter().map(|child| (child.clone(), depth + 1)));
    }
    false
}

#[cfg(test)]
mod tests;
