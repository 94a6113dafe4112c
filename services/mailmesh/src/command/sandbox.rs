use std::net::{IpAddr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use mailmesh_domain::SystemClock;
use mailmesh_runtime::{ConfigError, OpsSettings, RuntimeSettings, ShutdownSettings, Unavailable};
use mailmesh_sandbox::{
    ClientSettings, MailboxSettings, Personality, Sandbox, SandboxError,
    Settings as SandboxSettings,
};

use crate::ConfigArguments;
use crate::config::loader;
use crate::console::{finish, say};

/// What the provider is like.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The provider that it imitates: google, microsoft or standard.
    #[arg(long, default_value = "standard", value_parser = personality)]
    personality: Personality,
    /// The port of the OAuth server and the control API.
    #[arg(long, default_value_t = 8090)]
    oauth_port: u16,
    /// The port of IMAP over TLS.
    #[arg(long, default_value_t = 8993)]
    imap_port: u16,
    /// The port of POP3 over TLS.
    #[arg(long, default_value_t = 8995)]
    pop3_port: u16,
    /// The port of SMTP submission over TLS.
    #[arg(long, default_value_t = 8465)]
    smtp_port: u16,
    /// A mailbox, as `address:password`; may be given several times.
    #[arg(long = "mailbox", default_value = "support@sandbox.test:support")]
    mailboxes: Vec<String>,
    /// The redirect URI of the client `mailmesh` (secret `sandbox`).
    #[arg(long, default_value = "http://localhost:8026/oauth/callback")]
    redirect_uri: String,
    /// How long access tokens live.
    #[arg(long, default_value_t = 3600)]
    access_token_seconds: u64,
    /// The address to listen on; one that others reach needs --reachable-by-others.
    #[arg(long, default_value = "127.0.0.1")]
    bind: IpAddr,
    /// Lets everybody who reaches the address read every mailbox, deliver mail and issue tokens.
    #[arg(long)]
    reachable_by_others: bool,
    /// The name by which clients reach it, in its URLs and its certificate; the address when left out.
    #[arg(long)]
    host: Option<String>,
    /// Serves OAuth with https, which clients want of any host but this machine.
    #[arg(long)]
    https: bool,
    /// Writes the CA certificate here, for `ca_pem` of the client configuration and the accounts.
    #[arg(long)]
    ca_file: Option<std::path::PathBuf>,
}

fn personality(text: &str) -> Result<Personality, String> {
    match text {
        "google" => Ok(Personality::Google),
        "microsoft" => Ok(Personality::Microsoft),
        "standard" => Ok(Personality::Standard),
        _ => Err("use google, microsoft or standard".to_owned()),
    }
}

pub(crate) fn run(config: &ConfigArguments, arguments: Arguments) -> ExitCode {
    let mut runtime: RuntimeSettings = match loader(config).load() {
        Ok(settings) => settings,
        Err(error) => return finish(Err(error.into())),
    };
    // It often runs beside a mesh on the same machine, whose port that is.
    if runtime.ops.listen == OpsSettings::default().listen {
        runtime.ops.listen.set_port(0);
    }
    runtime.shutdown = ShutdownSettings { grace_seconds: 5 };
    let settings = match settings(&arguments) {
        Ok(settings) => settings,
        Err(error) => return finish(Err(error.into())),
    };
    mailmesh_runtime::start("sandbox", &runtime, async move |lifecycle| {
        let sandbox = Sandbox::start(settings, Arc::new(SystemClock)).await;
        let sandbox = sandbox.map_err(explained)?;
        if let Some(path) = &arguments.ca_file {
            std::fs::write(path, sandbox.ca_pem())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        introduce(&sandbox, arguments.reachable_by_others);
        let stop = lifecycle.stop_token();
        lifecycle.spawn("provider", async move {
            stop.cancelled().await;
            sandbox.stop().await;
        });
        Ok(())
    })
}

fn settings(arguments: &Arguments) -> Result<SandboxSettings, ConfigError> {
    let mailboxes = arguments.mailboxes.iter().map(|text| {
        let (address, password) = text.split_once(':').ok_or_else(|| {
            ConfigError::invalid("--mailbox", format!("write address:password, not {text}"))
        })?;
        Ok(MailboxSettings {
            address: address.to_owned(),
            password: password.to_owned(),
        })
    });
    Ok(SandboxSettings {
        bind: arguments.bind,
        reachable_by_others: arguments.reachable_by_others,
        host: arguments.host.clone(),
        https: arguments.https,
        personality: arguments.personality,
        oauth_port: arguments.oauth_port,
        imap_tls_port: arguments.imap_port,
        pop3_tls_port: arguments.pop3_port,
        smtp_tls_port: arguments.smtp_port,
        mailboxes: mailboxes.collect::<Result<_, ConfigError>>()?,
        access_token_seconds: arguments.access_token_seconds,
        clients: vec![ClientSettings {
            client_id: "mailmesh".to_owned(),
            client_secret: "sandbox".to_owned(),
            redirect_uris: vec![arguments.redirect_uri.clone()],
        }],
        ..SandboxSettings::default()
    })
}

fn explained(error: SandboxError) -> anyhow::Error {
    match error {
        SandboxError::Listen { .. } | SandboxError::Mail(_) => anyhow::Error::from(
            Unavailable::new(error),
        )
        .context(
            "free the port or choose others with --oauth-port, --imap-port, --pop3-port, --smtp-port",
        ),
        SandboxError::Host(_) => ConfigError::invalid("--bind or --host", error).into(),
        _ => error.into(),
    }
}

fn introduce(sandbox: &Sandbox, is_reachable_by_others: bool) {
    let addresses = sandbox.addresses();
    let who = if is_reachable_by_others {
        "everybody who reaches it"
    } else {
        "everybody on this machine"
    };
    say(format!(
        "This is a sandbox provider: no real mailbox is involved, and {who} may read its mail."
    ));
    say(format!("OAuth 2.0 issuer   {}", addresses.issuer));
    say(format!("Control API        {}", addresses.control));
    let told = |listens: SocketAddr| match addresses.host.parse() {
        Ok(ip) => SocketAddr::new(ip, listens.port()).to_string(),
        Err(_) => format!("{}:{}", addresses.host, listens.port()),
    };
    say(format!(
        "IMAP over TLS      {}",
        told(addresses.mail.imap_tls)
    ));
    say(format!(
        "POP3 over TLS      {}",
        told(addresses.mail.pop3_tls)
    ));
    say(format!(
        "SMTP over TLS      {}",
        told(addresses.mail.smtp_tls)
    ));
    say("Client             mailmesh, secret sandbox");
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(words: &[&str]) -> SandboxSettings {
        let words = ["sandbox"].iter().chain(words);
        settings(&Cli::try_parse_from(words).unwrap().arguments).unwrap()
    }

    #[test]
    fn only_this_machine_reaches_it_unless_asked() {
        let given = parse(&[]);
        assert!(given.bind.is_loopback());
        assert!(!given.reachable_by_others);

        let given = parse(&[
            "--bind=0.0.0.0",
            "--reachable-by-others",
            "--host=provider",
            "--https",
        ]);
        assert!(given.bind.is_unspecified());
        assert!(given.reachable_by_others && given.https);
        assert_eq!(given.host.as_deref(), Some("provider"));
    }

    #[test]
    fn each_protocol_listens_on_a_port_of_its_own() {
        let given = parse(&["--imap-port=1", "--pop3-port=2", "--smtp-port=3"]);

        assert_eq!(given.imap_tls_port, 1);
        assert_eq!(given.pop3_tls_port, 2);
        assert_eq!(given.smtp_tls_port, 3);
    }

    #[test]
    fn mailbox_without_a_password_is_refused() {
        let words = ["sandbox", "--mailbox", "ann@sandbox.test"];
        let arguments = Cli::try_parse_from(words).unwrap().arguments;
        let refused = anyhow::Error::from(settings(&arguments).unwrap_err());
        let refused = format!("{refused:#}");
        assert!(refused.contains("address:password"), "{refused}");
    }
}
