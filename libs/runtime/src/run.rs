use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use futures_util::future::LocalBoxFuture;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tracing::{error, info};

use crate::config::{ConfigError, ConfigFaults, Loader};
use crate::exit::{code, exit_code_of};
use crate::lifecycle::Lifecycle;
use crate::ops::{OpsServer, OpsSettings};
use crate::telemetry::{Telemetry, TelemetrySettings};

/// The sections that every process has.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct RuntimeSettings {
    pub telemetry: TelemetrySettings,
    pub ops: OpsSettings,
    pub shutdown: ShutdownSettings,
}

/// How a process stops.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShutdownSettings {
    /// How long tasks may take to finish what is in hand.
    pub grace_seconds: u64,
}

impl Default for ShutdownSettings {
    fn default() -> Self {
        Self { grace_seconds: 25 }
    }
}

/// Runs a process from its configuration to its exit code.
///
/// Loads the configuration and has `check` look at values and at what is missing, sets up telemetry, builds the services,
/// and runs what they have spawned until it is told to stop. `build` spawns through the life cycle and returns; readiness
/// begins when it has.
pub fn run<C, B>(
    name: &str,
    loader: &Loader,
    check: impl FnOnce(&C) -> Result<(), ConfigError>,
    build: B,
) -> ExitCode
where
    C: DeserializeOwned,
    B: AsyncFnOnce(C, Lifecycle) -> anyhow::Result<()>,
{
    let (settings, config) = match load(loader, check) {
        Ok(both) => both,
        Err(error) => return refuse(name, error, code::CONFIG),
    };
    start(name, &settings, async move |lifecycle| {
        build(config, lifecycle).await
    })
}

/// As [`run`], with configuration that is loaded already.
pub fn start<B>(name: &str, settings: &RuntimeSettings, build: B) -> ExitCode
where
    B: AsyncFnOnce(Lifecycle) -> anyhow::Result<()>,
{
    let build = |lifecycle| -> LocalBoxFuture<'_, _> { Box::pin(build(lifecycle)) };
    start_with(name, settings, Box::new(build))
}

/// What builds the services of a process.
type Build<'a> = Box<dyn FnOnce(Lifecycle) -> LocalBoxFuture<'a, anyhow::Result<()>> + 'a>;

fn start_with(name: &str, settings: &RuntimeSettings, build: Build<'_>) -> ExitCode {
    crate::install_crypto_provider();
    let telemetry = match Telemetry::init(name, &settings.telemetry) {
        Ok(telemetry) => telemetry,
        Err(error) => return refuse(name, error, code::CONFIG),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let exit_code = match runtime {
        Ok(runtime) => {
            let exit_code = runtime.block_on(live(name, settings, &telemetry, build));
            // Blocking work that has not ended must not hold up the exit.
            runtime.shutdown_timeout(Duration::from_secs(1));
            exit_code
        }
        Err(error) => {
            error!(%error, "Cannot start the async runtime");
            code::FAILED
        }
    };
    telemetry.shut_down();
    ExitCode::from(exit_code)
}

fn load<C: DeserializeOwned>(
    loader: &Loader,
    check: impl FnOnce(&C) -> Result<(), ConfigError>,
) -> Result<(RuntimeSettings, C), ConfigError> {
    let mut faults = ConfigFaults::default();
    let settings: Option<RuntimeSettings> = faults.note(loader.load());
    if let Some(settings) = &settings {
        let checked = settings.telemetry.validate();
        faults.note(checked.map_err(|source| ConfigError::invalid("telemetry", source)));
    }
    let config: Option<C> = faults.note(loader.load());
    if let Some(config) = &config {
        faults.note(check(config));
    }
    faults.finish(settings.zip(config))
}

async fn live(
    name: &str,
    settings: &RuntimeSettings,
    telemetry: &Telemetry,
    build: Build<'_>,
) -> u8 {
    let lifecycle = Lifecycle::new(name);
    let grace = Duration::from_secs(settings.shutdown.grace_seconds);
    // Signals are heard from here on, so that a start that hangs can be stopped.
    let ending = lifecycle.run_until_stopped(grace);
    tokio::pin!(ending);
    let starting = start_up(settings, telemetry, &lifecycle, build);
    let started = tokio::select! {
        report = &mut ending => {
            info!("Stopped before it had started");
            return report.exit_code();
        }
        started = starting => started,
    };
    if let Err(error) = started {
        error!(
            error = AsRef::<dyn std::error::Error>::as_ref(&error),
            "Cannot start"
        );
        lifecycle.stop();
        ending.await;
        return exit_code_of(&error);
    }
    info!("Started");
    let report = ending.await;
    info!(exit.code = report.exit_code(), "Stopped");
    report.exit_code()
}

async fn start_up(
    settings: &RuntimeSettings,
    telemetry: &Telemetry,
    lifecycle: &Lifecycle,
    build: Build<'_>,
) -> anyhow::Result<()> {
    let ops = OpsServer::bind(&settings.ops, lifecycle, telemetry.registry()).await?;
    let started = ops.started();
    // It serves while the others stop, so it must not be waited for: it lasts as long as the process.
    let mut serving = tokio::task::JoinSet::new();
    serving.spawn(ops.serve());
    serving.detach_all();
    build(lifecycle.clone())
        .await
        .context("the services could not be built")?;
    started.cancel();
    Ok(())
}

/// Prints why the process does not start: there is no log yet.
fn refuse(name: &str, error: impl Into<anyhow::Error>, exit_code: u8) -> ExitCode {
    let error = error.into();
    // If standard error is closed there is nobody to tell.
    drop(writeln!(std::io::stderr(), "{name}: {error:#}"));
    ExitCode::from(exit_code)
}
