//! Reads text in which people name mail addresses: the address list of RFC 5322 §3.4, strictly. All that the text names is
//! returned, or nothing. Header fields of received mail, which must never fail to be read, have a lenient reader of their own.

mod piece;

use std::borrow::Cow;

use self::piece::{Piece, cut};
use super::address::{AddressProblem, NamedAddress, canonical_address};
use super::quoted::unescape;

impl NamedAddress {
    /// Reads one address: `a@b.c`, `Name <a@b.c>`, `"Name, Sr." <a@b.c>` or `a@b.c (Name)`.
    pub fn parse(text: &str) -> Result<Self, AddressProblem> {
        read_mailbox(&cut(&without_tabs(text)?)?)
    }

    /// Reads one or more addresses, as [`NamedAddress::parse`] takes them, between commas, semicolons or both, and in groups
    /// (`Team: a@b.c, d@e.f;`).
    pub fn parse_list(text: &str) -> Result<Vec<Self>, AddressProblem> {
        let text = without_tabs(text)?;
        let pieces = cut(&text)?;
        let elements = elements(&pieces)?;
        if elements.is_empty() {
            return Err(AddressProblem::Malformed);
        }
        elements.into_iter().map(read_mailbox).collect()
    }
}

/// A tab is white space (RFC 5322 §2.2.2); every other control character of ASCII is refused.
fn without_tabs(text: &str) -> Result<Cow<'_, str>, AddressProblem> {
    if text.contains(|character: char| character.is_ascii_control() && character != '\t') {
        return Err(AddressProblem::ControlCharacter);
    }
    Ok(if text.contains('\t') {
        Cow::Owned(text.replace('\t', " "))
    } else {
        Cow::Borrowed(text)
    })
}

/// Splits a list into its elements. Empty ones are passed over (RFC 5322 §4.4): mail programs end lists with a separator.
fn elements<'a>(pieces: &'a [Piece<'a>]) -> Result<Vec<&'a [Piece<'a>]>, AddressProblem> {
    let mut elements = Vec::new();
    let mut in_group = false;
    for part in pieces.split_inclusive(|piece| matches!(piece, Piece::Separator(_))) {
        let (separator, element) = match part {
            [element @ .., Piece::Separator(separator)] => (*separator, element),
            element => (' ', element),
        };
        if separator == ':' {
            if in_group || !is_group_name(element) {
                return Err(AddressProblem::Malformed);
            }
            in_group = true;
            continue;
        }
        in_group &= separator != ';';
        if !element.iter().all(Piece::is_blank) {
            elements.push(element);
        }
    }
    if in_group {
        return Err(AddressProblem::Malformed);
    }
    Ok(elements)
}

/// What stands before a colon is left out, so it must name nobody.
fn is_group_name(pieces: &[Piece<'_>]) -> bool {
    let names_nobody = |piece: &Piece<'_>| match piece {
        Piece::Text(text) | Piece::Quoted(text) | Piece::Comment(text) => !text.contains('@'),
        Piece::Angle(_) | Piece::Separator(_) => false,
    };
    pieces.iter().all(names_nobody) && !pieces.iter().all(Piece::is_blank)
}

fn read_mailbox(pieces: &[Piece<'_>]) -> Result<NamedAddress, AddressProblem> {
    let is_angle = |piece: &Piece<'_>| matches!(piece, Piece::Angle(_));
    if let Some(at) = pieces.iter().position(is_angle) {
        let (name, rest) = pieces.split_at(at);
        let [Piece::Angle(address), rest @ ..] = rest else {
            return Err(AddressProblem::Malformed);
        };
        let remark = trailing_comment(rest)?;
        return Ok(NamedAddress {
            name: name_of(name)?.or(remark),
            address: canonical_address(address.trim())?,
        });
    }
    let is_comment = |piece: &Piece<'_>| matches!(piece, Piece::Comment(_));
    let end = pieces.iter().position(is_comment).unwrap_or(pieces.len());
    let (address, rest) = pieces.split_at(end);
    let mut text = String::new();
    for piece in address {
        match piece {
            Piece::Text(part) | Piece::Quoted(part) => text.push_str(part),
            _ => return Err(AddressProblem::Malformed),
        }
    }
    Ok(NamedAddress {
        name: trailing_comment(rest)?,
        address: canonical_address(text.trim())?,
    })
}

/// Reads what follows an address: nothing, or one comment, in which older programs give the name.
fn trailing_comment(pieces: &[Piece<'_>]) -> Result<Option<String>, AddressProblem> {
    let mut given = pieces.iter().filter(|piece| !piece.is_blank());
    match (given.next(), given.next()) {
        (None, _) => Ok(None),
        (Some(Piece::Comment(comment)), None) if !comment.contains('@') => {
            let inner = comment
                .strip_prefix('(')
                .and_then(|rest| rest.strip_suffix(')'));
            let inner = inner.and_then(unescape).ok_or(AddressProblem::Malformed)?;
            Ok(Some(inner.trim().to_owned()).filter(|name| !name.is_empty()))
        }
        _ => Err(AddressProblem::Malformed),
    }
}

/// Puts the words of a name together. Outside of quotes it must hold nothing that could be another address.
fn name_of(pieces: &[Piece<'_>]) -> Result<Option<String>, AddressProblem> {
    let mut name = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) | Piece::Comment(text) if !text.contains(['@', '<', '>']) => {
                name.push_str(text);
            }
            Piece::Quoted(text) => {
                let inner = text
                    .strip_prefix('"')
                    .and_then(|rest| rest.strip_suffix('"'));
                name.push_str(&inner.and_then(unescape).ok_or(AddressProblem::Malformed)?);
            }
            _ => return Err(AddressProblem::Malformed),
        }
    }
    Ok(Some(name.trim().to_owned()).filter(|name| !name.is_empty()))
}

#[cfg(test)]
mod tests;
