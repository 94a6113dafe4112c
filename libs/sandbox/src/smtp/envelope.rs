/// Who sends to whom, as far as the client has said.
pub(super) struct Envelope {
    pub(super) sender: String,
    pub(super) recipients: Vec<String>,
    /// What SIZE announced.
    pub(super) size: usize,
    pub(super) allows_utf8: bool,
}

type ReplyLine = &'static str;

const SYNTAX: ReplyLine = "501 5.5.2 Syntax error in the address";
const UNKNOWN_PARAMETER: ReplyLine = "555 5.5.4 Unknown parameter";

/// Reads what follows `MAIL `.
pub(super) fn parse_sender(rest: &str, size_limit: usize) -> Result<Envelope, ReplyLine> {
    let (sender, parameters) = parse_path(rest, "FROM:").ok_or(SYNTAX)?;
    let mut envelope = Envelope {
        sender: sender.to_owned(),
        recipients: Vec::new(),
        size: 0,
        allows_utf8: false,
    };
    for parameter in parameters.split_ascii_whitespace() {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        match name.to_ascii_uppercase().as_str() {
            "SIZE" => envelope.size = value.parse().map_err(|_| SYNTAX)?,
            "BODY" if matches!(value.to_ascii_uppercase().as_str(), "7BIT" | "8BITMIME") => {}
            "SMTPUTF8" => envelope.allows_utf8 = true,
            "AUTH" => {}
            _ => return Err(UNKNOWN_PARAMETER),
        }
    }
    if envelope.size > size_limit {
        return Err("552 5.3.4 Message exceeds the maximum size");
    }
    if !sender.is_empty() {
        check_address(sender, envelope.allows_utf8)?;
    }
    Ok(envelope)
}

/// Reads what follows `RCPT `.
pub(super) fn parse_recipient(rest: &str, allows_utf8: bool) -> Result<String, ReplyLine> {
    let (recipient, parameters) = parse_path(rest, "TO:").ok_or(SYNTAX)?;
    if !parameters.trim().is_empty() {
        return Err(UNKNOWN_PARAMETER);
    }
    let local = check_address(recipient, allows_utf8)?;
    match local.to_ascii_lowercase().as_str() {
        "refuse" => Err("550 5.1.1 No such user here"),
        "full" => Err("452 4.2.2 The mailbox is full"),
        "later" => Err("450 4.2.1 The mailbox receives mail too fast, try again later"),
        _ => Ok(recipient.to_owned()),
    }
}

/// Splits `FROM:<address> PARAMETERS`.
fn parse_path<'a>(rest: &'a str, keyword: &str) -> Option<(&'a str, &'a str)> {
    let (given, path) = rest.split_at_checked(keyword.len())?;
    if !given.eq_ignore_ascii_case(keyword) {
        return None;
    }
    let (address, parameters) = path.trim_start().strip_prefix('<')?.split_once('>')?;
    (parameters.is_empty() || parameters.starts_with(' ')).then_some((address, parameters))
}

/// Returns the local part of a plausible address.
fn check_address(address: &str, allows_utf8: bool) -> Result<&str, ReplyLine> {
    if !allows_utf8 && !address.is_ascii() {
        return Err("553 5.6.7 SMTPUTF8 is needed for this address");
    }
    let is_plain =
        !address.contains(|letter: char| letter.is_control() || letter == ' ' || letter == '<');
    match address.rsplit_once('@') {
        Some((local, domain)) if is_plain && !local.is_empty() && !domain.is_empty() => Ok(local),
        _ => Err("501 5.1.3 Bad address syntax"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn senders_come_with_known_parameters_only() {
        let read = |text| parse_sender(text, 100).map(|envelope| (envelope.sender, envelope.size));

        assert_eq!(
            read("FROM:<a@b.c> SIZE=7 BODY=8BITMIME"),
            Ok(("a@b.c".to_owned(), 7))
        );
        assert_eq!(read("from: <>"), Ok((String::new(), 0)));
        assert_eq!(read("FROM:<a@b.c> RET=HDRS"), Err(UNKNOWN_PARAMETER));
        assert_eq!(read("FROM:a@b.c"), Err(SYNTAX));
        assert!(read("FROM:<a@b.c> SIZE=101").is_err_and(|text| text.starts_with("552 5.3.4")));
        assert!(read("FROM:<ü@b.c>").is_err_and(|text| text.starts_with("553 5.6.7")));
    }

    #[test]
    fn three_local_parts_are_always_refused() {
        for (address, code) in [
            ("refuse@x.y", "550"),
            ("full@x.y", "452"),
            ("Later@x.y", "450"),
        ] {
            let refusal = parse_recipient(&format!("TO:<{address}>"), false).err();
            assert!(
                refusal.is_some_and(|text| text.starts_with(code)),
                "{address}"
            );
        }
        assert_eq!(parse_recipient("TO:<a@b.c>", false), Ok("a@b.c".to_owned()));
        assert!(parse_recipient("TO:<nobody>", false).is_err());
    }
}
