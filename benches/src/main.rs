//! Benchmarks of the whole mesh against real servers on this machine.
//!
//! Each scenario prints a table: our figure, a limit measured in the same run with bare clients on
//! the same servers, and the ratio. Never a timed test: CI only proves that they run.

mod limit;
mod mail;
mod mesh;
mod provider;
mod scenario;
mod table;
mod world;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use scenario::{idle, inbound_backlog, inbound_latency, outbound};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures mailmesh.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Many mails wait in one mailbox: how fast do they become events?
    InboundBacklog(inbound_backlog::Arguments),
    /// One mail at a time beside idle accounts: how long from the server's 250 to the subscriber?
    InboundLatency(inbound_latency::Arguments),
    /// Many mails are published at once; then one at a time.
    Outbound(outbound::Arguments),
    /// What does an idle account cost in memory?
    Idle(idle::Arguments),
    /// The far end of the scenarios, as a process of its own.
    #[command(hide = true)]
    Provider(provider::Arguments),
    /// An inbound fetcher, as a process of its own.
    #[command(hide = true)]
    Fetcher(idle::FetcherArguments),
}

fn main() -> ExitCode {
    mailmesh_runtime::install_crypto_provider();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    let result = match runtime {
        Ok(runtime) => runtime.block_on(run(Cli::parse().command)),
        Err(error) => Err(error.into()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            table::note(format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Command) -> anyhow::Result<()> {
    match command {
        Command::InboundBacklog(arguments) => inbound_backlog::run(arguments).await,
        Command::InboundLatency(arguments) => inbound_latency::run(arguments).await,
        Command::Outbound(arguments) => outbound::run(arguments).await,
        Command::Idle(arguments) => idle::run(arguments).await,
        Command::Provider(arguments) => provider::serve(arguments).await,
        Command::Fetcher(arguments) => idle::serve_fetcher(arguments).await,
    }
}
