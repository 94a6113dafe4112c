//! Terminal output of the commands: logs go to standard error, results to standard output.

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

use futures_util::future::LocalBoxFuture;
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
    warn(format!("error: {error:#}"));
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
