use bytes::Bytes;

use super::header::{filter_fields, header_length};
use super::parse::{Malformed, Parser};

/// One thing FETCH asks for.
pub(super) enum Item {
    Uid,
    Flags,
    Size,
    InternalDate,
    Envelope,
    Body(BodyItem),
}

pub(super) struct BodyItem {
    /// How the answer names it, without the partial offset.
    pub(super) label: String,
    section: Section,
    /// First octet and how many.
    pub(super) partial: Option<(usize, usize)>,
    pub(super) is_peek: bool,
}

enum Section {
    Full,
    Header,
    Text,
    Fields {
        names: Vec<String>,
        keeps_named: bool,
    },
    Nothing,
}

impl BodyItem {
    fn new(label: &str, section: Section, is_peek: bool) -> Self {
        Self {
            label: label.to_owned(),
            section,
            partial: None,
            is_peek,
        }
    }

    /// Returns the bytes asked for, shared with the mail where they are part of it.
    pub(super) fn cut(&self, raw: &Bytes) -> Bytes {
        let whole = self.whole(raw);
        let Some((first, length)) = self.partial else {
            return whole;
        };
        let first = first.min(whole.len());
        let end = first.saturating_add(length).min(whole.len());
        whole.slice(first..end)
    }

    /// Returns the section whatever part of it is asked for.
    pub(super) fn whole(&self, raw: &Bytes) -> Bytes {
        match &self.section {
            Section::Full => raw.clone(),
            Section::Header => raw.slice(..header_length(raw)),
            Section::Text => raw.slice(header_length(raw)..),
            Section::Fields { names, keeps_named } => filter_fields(raw, names, *keeps_named),
            Section::Nothing => Bytes::new(),
        }
    }
}

/// Reads one item, a list of them, or a macro.
pub(super) fn parse_items(parser: &mut Parser) -> Result<Vec<Item>, Malformed> {
    let mut items = Vec::new();
    if parser.take(b'(') {
        while !parser.take(b')') {
            parse_item(parser, &mut items)?;
        }
    } else {
        parse_item(parser, &mut items)?;
    }
    if items.is_empty() {
        Err(Malformed)
    } else {
        Ok(items)
    }
}

fn parse_item(parser: &mut Parser, items: &mut Vec<Item>) -> Result<(), Malformed> {
    let name = parser.item()?;
    let fast = [Item::Flags, Item::InternalDate, Item::Size];
    let item = match name.as_str() {
        "ALL" => {
            items.extend(fast);
            Item::Envelope
        }
        "FAST" => {
            items.extend(fast);
            return Ok(());
        }
        "UID" => Item::Uid,
        "FLAGS" => Item::Flags,
        "RFC822.SIZE" => Item::Size,
        "INTERNALDATE" => Item::InternalDate,
        "ENVELOPE" => Item::Envelope,
        "RFC822" => Item::Body(BodyItem::new("RFC822", Section::Full, false)),
        "RFC822.HEADER" => Item::Body(BodyItem::new("RFC822.HEADER", Section::Header, true)),
        "RFC822.TEXT" => Item::Body(BodyItem::new("RFC822.TEXT", Section::Text, false)),
        "BODY" => Item::Body(parse_body(parser, false)?),
        "BODY.PEEK" => Item::Body(parse_body(parser, true)?),
        _ => return Err(Malformed),
    };
    items.push(item);
    Ok(())
}

fn parse_body(parser: &mut Parser, is_peek: bool) -> Result<BodyItem, Malformed> {
    if !parser.take_next(b'[') {
        return Err(Malformed);
    }
    let (label, section) = parse_section(parser)?;
    parser.expect(b']')?;
    let mut item = BodyItem::new(&format!("BODY[{label}]"), section, is_peek);
    if parser.take_next(b'<') {
        let first = to_size(parser.number()?);
        parser.expect(b'.')?;
        item.partial = Some((first, to_size(parser.number()?)));
        parser.expect(b'>')?;
    }
    Ok(item)
}

fn to_size(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

fn parse_section(parser: &mut Parser) -> Result<(String, Section), Malformed> {
    if parser.peek() == Some(b']') {
        return Ok((String::new(), Section::Full));
    }
    let name = parser.word()?;
    let section = match name.as_str() {
        "HEADER" => Section::Header,
        "TEXT" | "1" => Section::Text,
        "HEADER.FIELDS" | "HEADER.FIELDS.NOT" => {
            let names = parse_names(parser)?;
            let label = format!("{name} ({})", names.join(" "));
            let keeps_named = name == "HEADER.FIELDS";
            return Ok((label, Section::Fields { names, keeps_named }));
        }
        // Parts are not taken apart; a part that is not there is empty.
        _ if name.starts_with(|first: char| first.is_ascii_digit()) => Section::Nothing,
        _ => return Err(Malformed),
    };
    Ok((name, section))
}

fn parse_names(parser: &mut Parser) -> Result<Vec<String>, Malformed> {
    parser.expect(b'(')?;
    let mut names = Vec::new();
    while !parser.take(b')') {
        names.push(parser.string()?);
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(text: &'static str) -> Option<BodyItem> {
        let mut parser = Parser::new(Bytes::from_static(text.as_bytes()));
        match parse_items(&mut parser).ok()?.pop()? {
            Item::Body(body) => Some(body),
            _ => None,
        }
    }

    #[test]
    fn sections_cut_what_they_name() {
        let raw = Bytes::from_static(b"A: 1\r\nB: 2\r\n\r\ntext\r\n");
        let cut = |text| body(text).map(|item| item.cut(&raw));

        assert_eq!(cut("BODY.PEEK[]\r\n"), Some(raw.clone()));
        assert_eq!(cut("BODY[TEXT]\r\n").as_deref(), Some(&b"text\r\n"[..]));
        assert_eq!(cut("(UID BODY[HEADER])\r\n"), Some(raw.slice(..14)));
        assert_eq!(
            cut("BODY[HEADER.FIELDS (b)]\r\n").as_deref(),
            Some(&b"B: 2\r\n\r\n"[..])
        );
        assert_eq!(cut("BODY[]<3.4>\r\n").as_deref(), Some(&b"1\r\nB"[..]));
        assert_eq!(cut("BODY[]<999.4>\r\n").as_deref(), Some(&b""[..]));
    }

    #[test]
    fn unknown_items_are_refused() {
        assert!(body("BODYSTRUCTURE\r\n").is_none());
        assert!(body("BODY[\r\n").is_none());
        assert!(body("()\r\n").is_none());
    }
}
