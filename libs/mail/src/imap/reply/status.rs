use crate::server_text::{ServerText, shorten};

/// The word with which a status response begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::imap) enum Status {
    Ok,
    No,
    Bad,
    PreAuth,
    Bye,
}

/// A response code (RFC 3501, 5530): `[NAME argument]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::imap) struct ResponseCode {
    /// In capitals.
    name: String,
    argument: String,
}

/// A status response without its tag.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::imap) struct StatusResponse {
    pub(in crate::imap) status: Status,
    code: Option<ResponseCode>,
    pub(in crate::imap) text: ServerText,
}

impl StatusResponse {
    /// Reads `OK [CODE argument] text`; `None` if it does not begin with a status.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.trim_ascii();
        let end = bytes
            .iter()
            .position(|byte| *byte == b' ')
            .unwrap_or(bytes.len());
        let (word, rest) = bytes.split_at_checked(end)?;
        let status = read_status(word)?;
        let rest = rest.trim_ascii_start();
        let (code, text) = split_code(rest);
        Some(Self {
            status,
            code,
            text: ServerText::new(text),
        })
    }

    /// Returns the argument of the code with this name.
    pub(in crate::imap) fn argument(&self, name: &str) -> Option<&str> {
        let code = self.code.as_ref()?;
        (code.name == name).then_some(code.argument.as_str())
    }

    /// Returns the number which the code with this name bears.
    pub(in crate::imap) fn number<T: std::str::FromStr>(&self, name: &str) -> Option<T> {
        self.argument(name)?.trim().parse().ok()
    }

    /// Returns the name of the code, shortened.
    pub(in crate::imap) fn code_name(&self) -> Option<String> {
        self.code.as_ref().map(|code| shorten(&code.name, 40))
    }
}

fn read_status(word: &[u8]) -> Option<Status> {
    let known = [
        ("OK", Status::Ok),
        ("NO", Status::No),
        ("BAD", Status::Bad),
        ("BYE", Status::Bye),
        ("PREAUTH", Status::PreAuth),
    ];
    known
        .iter()
        .find(|(name, _)| word.eq_ignore_ascii_case(name.as_bytes()))
        .map(|(_, status)| *status)
}

fn split_code(rest: &[u8]) -> (Option<ResponseCode>, &[u8]) {
    let Some(inner) = rest.strip_prefix(b"[") else {
        return (None, rest);
    };
    let Some(end) = inner.iter().position(|byte| *byte == b']') else {
        return (None, rest);
    };
    let Some((code, text)) = inner.split_at_checked(end) else {
        return (None, rest);
    };
    let code = String::from_utf8_lossy(code);
    let (name, argument) = code.split_once(' ').unwrap_or((&code, ""));
    let code = ResponseCode {
        name: name.to_ascii_uppercase(),
        argument: argument.to_owned(),
    };
    (Some(code), text.get(1..).unwrap_or_default().trim_ascii())
}
