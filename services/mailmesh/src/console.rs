//! Terminal output of the commands: logs go to standard error, results to standard output.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use futures_util::future::LocalBoxFuture;
use mailmesh_domain::ErrorChain;
use mailmesh_runtime::exit_code_of;

/// Writes one line to standard output. A closed pipe is no failure.
pub(crate) fn say(line: impl Display) {
    let mut out = std::io::stdout().lock();
    let _closed = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Writes one line to standard error.
pub(crate) fn warn(line: impl Display) {
    let _closed = writeln!(std::io::stderr().lock(), "{line}");
}

/// Writes characters that a terminal obeys or that change the order of reading as JSON escapes: text of foreign mail must
/// neither clear the screen nor pass for another line.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if is_obeyed(character) {
            let mut units = [0; 2];
            let escapes = character.encode_utf16(&mut units);
            shown.extend(escapes.iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            shown.push(character);
        }
    }
    shown
}

fn is_obeyed(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            // Marks, embeddings, overrides and isolates of UAX #9; separators of lines; what is not seen at all.
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// Turns the result of a short command into an exit code, and prints why it failed.
pub(crate) fn finish(result: anyhow::Result<()>) -> ExitCode {
    finish_with(result, |_| None)
}

/// As [`finish`], and prints the `advice` for the error, if there is one.
pub(crate) fn finish_with(
    result: anyhow::Result<()>,
    advice: impl FnOnce(&anyhow::Error) -> Option<String>,
) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    warn(format!("error: {}", ErrorChain(error.as_ref())));
    if let Some(hint) = advice(&error) {
        warn(format!("hint: {hint}"));
    }
    ExitCode::from(exit_code_of(&error))
}

/// Runs a short command on its own async runtime.
pub(crate) fn block_on(work: impl Future<Output = anyhow::Result<()>>) -> ExitCode {
    block_on_with(work, |_| None)
}

/// As [`block_on`], and prints the `advice` for the error, if there is one.
pub(crate) fn block_on_with(
    work: impl Future<Output = anyhow::Result<()>>,
    advice: impl FnOnce(&anyhow::Error) -> Option<String>,
) -> ExitCode {
    mailmesh_runtime::install_crypto_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    // Boxed, so that the runtime is compiled once and not for each command.
    let work: LocalBoxFuture<'_, _> = Box::pin(work);
    match runtime {
        Ok(runtime) => finish_with(runtime.block_on(work), advice),
        Err(error) => finish(Err(error.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_terminal_obeys_is_shown_as_json_escapes() {
        let hostile =
            "a\u{1b}[2J\u{7}\u{7f}\u{9b}31m\u{202e}fdp\u{2066}\u{200f}\u{2028}\u{e0041}\r\n";

        let shown = visible(hostile);

        assert!(!shown.chars().any(is_obeyed), "{shown:?}");
        let read: String = serde_json::from_str(&format!("\"{shown}\"")).unwrap();
        assert_eq!(read, hostile);
        assert_eq!(visible("Grüße, 東京 🎉 \"x\""), "Grüße, 東京 🎉 \"x\"");
    }
}
