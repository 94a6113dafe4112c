//! Process chassis: configuration, telemetry, life cycle, health and metrics server, exit codes.
//!
//! [`run`] takes a process from its configuration to its exit code. Promises:
//! - A bad setting is named by its path and by where it was set, and ends the process with 64 before any socket opens; so
//!   does one out of its range or not set, as far as the check that the process brings along finds it.
//! - Nothing runs but what [`Lifecycle::spawn`] has named. A task that ends by itself or panics stops the process with 1.
//! - Stopping waits for every task up to the grace time, and says which ones are still busy. Only a stop that was asked
//!   for and came to its end exits with 0.
//! - Telemetry is flushed on every way out. What mail and HTTP libraries log is cut in code, whatever the filter says,
//!   because some of them log tokens and whole mails.
//!
//! Refuses: unknown sections, unknown variables that begin with `MAILMESH_`, and secrets in configuration (sections take
//! paths of files).

pub mod check;
pub mod config;
mod exit;
pub mod lifecycle;
mod listen;
mod ops;
mod run;
mod serve;
mod signal;
pub mod telemetry;

pub use check::Checks;
pub use config::{ConfigError, ConfigFaults, Loader};
pub use exit::{Unavailable, code, exit_code_of};
pub use lifecycle::{ExitReport, Lifecycle};
pub use listen::{ListenError, listen};
pub use ops::{OpsServer, OpsSettings};
pub use run::{RuntimeSettings, ShutdownSettings, run, start};
pub use serve::{ServeLimits, serve};
pub use telemetry::{LogFormat, Telemetry, TelemetryError, TelemetrySettings, account_span};

/// Makes aws-lc-rs the one TLS provider of the process. Calling it again does nothing.
pub fn install_crypto_provider() {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    // An error says that one is installed; there is only one in the build.
    drop(provider.install_default());
}
