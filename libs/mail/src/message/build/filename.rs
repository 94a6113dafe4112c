use std::borrow::Cow;

use super::super::clean::cut_filename;
use super::super::draft::BuildError;
use super::check::{MAX_NAME, check_plain, with_plain_spaces};

/// Names that Windows takes for devices, with any extension ("Naming Files, Paths, and Namespaces").
const DEVICES: [&str; 6] = ["con", "prn", "aux", "nul", "conin$", "conout$"];
const NUMBERED_DEVICES: [&str; 2] = ["com", "lpt"];

/// Returns the name under which a file is attached: the last part of a path, and none for what names no file. A reader
/// saves it under that name, so it must not lead out of a folder or to a device. A longer name than a line can hold is cut
/// and keeps its extension: `mail.received` hands such names out.
pub(super) fn file_name<'a>(
    path: &str,
    given: &'a str,
) -> Result<Option<Cow<'a, str>>, BuildError> {
    let given = with_plain_spaces(given);
    check_plain(path, &given)?;
    let mut name = match given {
        Cow::Borrowed(given) => Cow::Borrowed(last_part(given)),
        Cow::Owned(given) => Cow::Owned(last_part(&given).to_owned()),
    };
    if name.len() > MAX_NAME {
        cut_filename(name.to_mut(), MAX_NAME);
    }
    if name.chars().all(|character| matches!(character, '.' | ' ')) {
        return Ok(None);
    }
    if is_device(&name) {
        return Ok(Some(Cow::Owned(format!("_{name}"))));
    }
    Ok(Some(name))
}

fn last_part(path: &str) -> &str {
    let last = path.rsplit(['/', '\\']).next();
    last.unwrap_or_default().trim()
}

fn is_device(name: &str) -> bool {
    let stem = name.split(['.', ':']).next().unwrap_or_default();
    let stem = stem.trim_end().to_lowercase();
    let is_numbered = NUMBERED_DEVICES.iter().any(|device| {
        let mut number = stem.strip_prefix(device).unwrap_or_default().chars();
        matches!(number.next(), Some('0'..='9' | '¹' | '²' | '³')) && number.next().is_none()
    });
    is_numbered || DEVICES.contains(&stem.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::super::draft::FieldProblem;
    use super::*;

    fn name(given: &str) -> Option<String> {
        file_name("f", given).unwrap().map(Cow::into_owned)
    }

    #[test]
    fn paths_are_cut_to_their_last_part() {
        for (given, kept) in [
            ("offer.pdf", "offer.pdf"),
            ("../../etc/passwd", "passwd"),
            ("C:\\Users\\jo\\offer 1.pdf", "offer 1.pdf"),
            ("/a\\b/c.txt", "c.txt"),
            ("//host/share/a.txt", "a.txt"),
            ("..\\..", ""),
            ("a/", ""),
            ("a/..", ""),
            ("", ""),
            (" ", ""),
            (".", ""),
            ("..", ""),
            (". . .", ""),
            (" a.txt ", "a.txt"),
            (".profile", ".profile"),
            ("a\tb.txt", "a b.txt"),
            ("Rëchnung…2026.pdf", "Rëchnung…2026.pdf"),
        ] {
            assert_eq!(name(given).unwrap_or_default(), kept, "{given:?}");
        }
    }

    #[test]
    fn names_of_devices_are_marked_as_files() {
        for given in [
            "CON",
            "nul.txt",
            "Com1",
            "lpt9.tar.gz",
            "com².txt",
            "aux .x",
            "NUL:",
        ] {
            assert_eq!(name(given), Some(format!("_{given}")), "{given}");
        }
        for given in [
            "console.log",
            "com10.txt",
            "com",
            "nullable",
            "a.con",
            "_con",
        ] {
            assert_eq!(name(given), Some(given.to_owned()), "{given}");
        }
    }

    #[test]
    fn control_characters_are_refused() {
        for given in ["a\nb", "a\0", "x/a\r\n"] {
            let refused = file_name("f", given).unwrap_err();
            assert_eq!(refused.problem, FieldProblem::ControlCharacter, "{given:?}");
        }
    }

    #[test]
    fn overlong_names_are_cut_and_keep_their_extension() {
        let kept = name(&format!("{}.pdf", "a".repeat(1_000))).unwrap();

        assert_eq!(kept, format!("{}.pdf", "a".repeat(496)));
    }
}
