//! The mailmesh binary: any one service, or all of them with embedded NATS and Postgres; and the
//! commands that help to run and to try it.

mod command;
mod config;
mod console;
mod credentials;
mod embedded;
mod event_stream;
mod key_check;
mod mesh;
mod nats_lock;
mod service_kind;
mod service_logins;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use mailmesh_runtime::code;

use command::{
    api_key, credentials as make_credentials, demo, doctor, healthcheck, keys, migrate, nats_users,
    provision, reseal, sandbox, send, service, tail, up,
};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Send and receive mail through real mailboxes, over NATS.
#[derive(Debug, Parser)]
#[command(name = "mailmesh", version)]
struct Cli {
    #[command(flatten)]
    config: ConfigArguments,
    #[command(subcommand)]
    command: CliCommand,
}

/// Where the configuration is.
#[derive(Debug, Clone, Args)]
pub(crate) struct ConfigArguments {
    /// The configuration file; every setting may also come from a variable such as `MAILMESH_NATS__URL`.
    #[arg(long, global = true, env = "MAILMESH_CONFIG")]
    config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum CliCommand {
    /// Run the HTTP API and the operators' page.
    Admin,
    /// Run the service that receives the answers of sign-ins.
    AuthCallback,
    /// Run the service that refreshes tokens.
    TokenRefresh,
    /// Run the service that watches mailboxes.
    InboundFetcher,
    /// Run the service that sends mail.
    OutboundSender,
    /// Run all services in one process, with NATS and Postgres of its own unless URLs are given.
    Up(up::Arguments),
    /// Show the whole story with a sandbox provider: sign in, receive a mail, send one.
    Demo(demo::Arguments),
    /// Bring the database to this release's shape, and give each service's role its rights.
    Migrate(migrate::Arguments),
    /// Make the streams on NATS, or change them to the settings; needed where services may not (`nats.provision`).
    Provision,
    /// Print the users that a NATS server needs, each with the rights of one service or business system.
    NatsUsers,
    /// Make passwords for every user of NATS and Postgres, a folder for each.
    Credentials(make_credentials::Arguments),
    /// Make the keys that seal secrets.
    Keys(keys::Arguments),
    /// Seal every stored secret with the first key, and say what still needs another.
    Reseal,
    /// Make an API key on the host, in place of one that was lost.
    ApiKey(api_key::Arguments),
    /// Publish a mail on `mail.send`.
    Send(send::Arguments),
    /// Print events as they come.
    Tail(tail::Arguments),
    /// Check servers, settings and accounts, and say what to do about each finding.
    Doctor,
    /// Run a whole mail provider for demos and rehearsals; no real mailbox is involved.
    Sandbox(sandbox::Arguments),
    /// Ask a running process whether it is ready; exits with 0 if so.
    Healthcheck(healthcheck::Arguments),
}

fn main() -> ExitCode {
    let Cli { config, command } = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return not_parsed(&error),
    };
    match command {
        CliCommand::Admin => service::run(service::Kind::Admin, &config),
        CliCommand::AuthCallback => service::run(service::Kind::AuthCallback, &config),
        CliCommand::TokenRefresh => service::run(service::Kind::TokenRefresh, &config),
        CliCommand::InboundFetcher => service::run(service::Kind::InboundFetcher, &config),
        CliCommand::OutboundSender => service::run(service::Kind::OutboundSender, &config),
        CliCommand::Up(arguments) => up::run(&config, &arguments),
        CliCommand::Demo(arguments) => demo::run(&arguments),
        CliCommand::Migrate(arguments) => migrate::run(&config, arguments),
        CliCommand::Provision => provision::run(&config),
        CliCommand::NatsUsers => nats_users::run(&config),
        CliCommand::Credentials(arguments) => make_credentials::run(&arguments),
        CliCommand::Keys(arguments) => keys::run(&arguments),
        CliCommand::Reseal => reseal::run(&config),
        CliCommand::ApiKey(arguments) => api_key::run(&config, arguments),
        CliCommand::Send(arguments) => send::run(&config, arguments),
        CliCommand::Tail(arguments) => tail::run(&config, arguments),
        CliCommand::Doctor => doctor::run(&config),
        CliCommand::Sandbox(arguments) => sandbox::run(&config, arguments),
        CliCommand::Healthcheck(arguments) => healthcheck::run(&config, &arguments),
    }
}

/// Shows help and version, and what is wrong with a command line: as with a setting, that exits with 64.
fn not_parsed(error: &clap::Error) -> ExitCode {
    // Whoever closed the output does not want to read it.
    error.print().ok();
    if error.use_stderr() {
        ExitCode::from(code::CONFIG)
    } else {
        ExitCode::SUCCESS
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn arguments_of_every_command_fit_together() {
        Cli::command().debug_assert();
    }
}
