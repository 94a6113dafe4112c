mod account;

use std::process::ExitCode;

use anyhow::{anyhow, bail};
use mailmesh_bus::{Bus, ForeignStream};
use mailmesh_domain::{Clock, ErrorChain, SystemClock};
use mailmesh_runtime::Unavailable;
use mailmesh_store::{Database, MigrationState};

use crate::ConfigArguments;
use crate::config::{CommandConfig, Config};
use crate::console::{block_on_with, say};

const LARGEST_CLOCK_DIFFERENCE: time::Duration = time::Duration::seconds(5);

/// Result of one check.
#[derive(Debug)]
pub(crate) struct Finding {
    what: String,
    /// What is wrong and what to do; none if the check passed.
    problem: Option<(String, String)>,
}

impl Finding {
    pub(crate) fn well(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            problem: None,
        }
    }

    pub(crate) fn bad(
        what: impl Into<String>,
        problem: impl Into<String>,
        action: impl Into<String>,
    ) -> Self {
        Self {
            what: what.into(),
            problem: Some((problem.into(), action.into())),
        }
    }

    fn show(&self) {
        match &self.problem {
            None => say(format!("ok    {}", self.what)),
            Some((problem, action)) => {
                say(format!("BAD   {}: {problem}", self.what));
                say(format!("      → {action}"));
            }
        }
    }
}

pub(crate) fn run(config: &ConfigArguments) -> ExitCode {
    let client = CommandConfig::new(config);
    let loader = client.loader.clone();
    let work = async move {
        let config: Config = loader.load()?;
        let mut findings = vec![keys(&config), public(&config)];
        nats(&config, &mut findings).await;
        let database = database(&config, &mut findings).await;
        if let Some(database) = &database {
            account::examine(&config, database, &mut findings).await;
        }
        findings.iter().for_each(Finding::show);
        if database.is_none() {
            say("Accounts are not checked while Postgres does not answer.");
        }
        let bad = findings.iter().filter(|finding| finding.problem.is_some());
        let told = match bad.count() {
            0 => return Ok(()),
            1 => anyhow!("1 finding needs somebody"),
            count => anyhow!("{count} findings need somebody"),
        };
        Err(match database {
            Some(_) => told,
            None => Unavailable::new(told).into(),
        })
    };
    block_on_with(work, client.advice())
}

fn keys(config: &Config) -> Finding {
    match config.keys.opening_keys() {
        Ok(_) => Finding::well("the keys that open secrets"),
        Err(error) => Finding::bad(
            "the keys that open secrets",
            ErrorChain(&error).to_string(),
            "Make them with: mailmesh keys; then name them in [keys].",
        ),
    }
}

fn public(config: &Config) -> Finding {
    let what = "the public URL";
    let Some(public) = &config.public else {
        return Finding::well(format!(
            "{what}: not set, so sign-ins come back to localhost"
        ));
    };
    let url = &public.url;
    let is_local = matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"));
    if url.scheme() == "https" || is_local {
        return Finding::well(format!("{what}; register {}", public.redirect_uri()));
    }
    Finding::bad(
        what,
        format!("{url} is not https, and providers refuse that"),
        "Put auth-callback behind TLS and set public.url to its https address.",
    )
}

async fn nats(config: &Config, findings: &mut Vec<Finding>) {
    let what = format!("NATS at {}", config.nats.shown_url());
    let checked = async {
        let bus = Bus::connect(&config.nats).await?;
        bus.check().await?;
        bus.ensure_streams().await?;
        Ok(bus.foreign_streams().await?)
    };
    let foreign: anyhow::Result<Vec<ForeignStream>> = checked.await;
    match foreign {
        Ok(streams) => {
            findings.push(Finding::well(format!("{what}, with its streams")));
            findings.extend(streams.iter().map(foreign_stream));
        }
        Err(error) => findings.push(Finding::bad(
            what,
            format!("{error:#}"),
            "Start nats-server 2.12 or newer with JetStream (nats-server -js), or set nats.url.",
        )),
    }
}

fn foreign_stream(stream: &ForeignStream) -> Finding {
    Finding::bad(
        format!("the stream {}", stream.name),
        format!(
            "listens to {} and misses most of them: what is repeated there can be heard, but not stored again",
            stream.events.join(", ")
        ),
        format!(
            "Give it the stream EVENTS as its source instead of these subjects \
             (nats stream add {} --source EVENTS), or read EVENTS with a durable consumer.",
            stream.name
        ),
    )
}

async fn database(config: &Config, findings: &mut Vec<Finding>) -> Option<Database> {
    let opened = async {
        let Some(postgres) = &config.postgres else {
            bail!("no database is named");
        };
        Ok(Database::connect(&postgres.resolve()?).await?)
    };
    let database = match opened.await {
        Ok(database) => database,
        Err(error) => {
            findings.push(Finding::bad(
                "Postgres",
                format!("{error:#}"),
                "Start Postgres 15 or newer and set postgres.url.",
            ));
            return None;
        }
    };
    findings.push(shape(&database).await);
    findings.push(clock(&database).await);
    Some(database)
}

async fn shape(database: &Database) -> Finding {
    let what = "Postgres and its tables";
    match database.migration_state().await {
        Ok(MigrationState::Current) => Finding::well(what),
        Ok(MigrationState::Ahead) => Finding::well(format!("{what}: migrated by a newer release")),
        Ok(MigrationState::Behind(missing)) => Finding::bad(
            what,
            format!("{missing} migrations are missing"),
            "Apply them with: mailmesh migrate",
        ),
        Err(error) => Finding::bad(what, ErrorChain(&error).to_string(), "See Postgres's log."),
    }
}

async fn clock(database: &Database) -> Finding {
    let what = "the clock, against Postgres's";
    match database.ping().await {
        Ok(theirs) => {
            let difference = (SystemClock.now() - theirs).abs();
            if difference <= LARGEST_CLOCK_DIFFERENCE {
                return Finding::well(what);
            }
            Finding::bad(
                what,
                format!("differs by {} s", difference.whole_seconds()),
                "Synchronise the machines' clocks (NTP): tokens and schedules depend on them.",
            )
        }
        Err(error) => Finding::bad(what, ErrorChain(&error).to_string(), "See Postgres's log."),
    }
}
