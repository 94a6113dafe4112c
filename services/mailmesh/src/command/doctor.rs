mod account;
mod client;
mod keys;
mod nats;
mod public;

use std::cell::Cell;
use std::process::ExitCode;

use anyhow::anyhow;
use mailmesh_domain::{Clock, ErrorChain, MustAct, ReplicaId, SystemClock};
use mailmesh_events::Problem;
use mailmesh_runtime::Unavailable;
use mailmesh_store::{Database, MigrationState, replica};

use crate::ConfigArguments;
use crate::config::{CommandConfig, Config};
use crate::console::{block_on_with, say, visible};

const LARGEST_CLOCK_DIFFERENCE: time::Duration = time::Duration::seconds(5);

/// What is wrong, and what to do about it.
type Trouble = (String, String);

/// Result of one check.
#[derive(Debug)]
pub(crate) struct Finding {
    what: String,
    /// What is wrong and what to do; none if the check passed.
    problem: Option<Trouble>,
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

    // Servers word problems, and a terminal must not obey them.
    fn show(&self) {
        match &self.problem {
            None => say(visible(&format!("ok    {}", self.what))),
            Some((problem, action)) => {
                say(visible(&format!("BAD   {}: {problem}", self.what)));
                say(visible(&format!("      → {action}")));
            }
        }
    }
}

/// Prints each finding when it is known: a server that does not answer hides no other for its time limit.
#[derive(Debug, Default)]
pub(crate) struct Report {
    bad: Cell<usize>,
}

impl Report {
    pub(crate) fn tell(&self, finding: &Finding) {
        finding.show();
        let bad = self.bad.get() + usize::from(finding.problem.is_some());
        self.bad.set(bad);
    }

    fn into_result(self) -> anyhow::Result<()> {
        match self.bad.get() {
            0 => Ok(()),
            1 => Err(anyhow!("1 finding needs somebody")),
            count => Err(anyhow!("{count} findings need somebody")),
        }
    }
}

/// Formats a problem: its code, what to do, who must do it, and `link` in between.
fn told(problem: &Problem, link: &str) -> Trouble {
    let who = match problem.must_act {
        MustAct::Nobody => "",
        MustAct::MailboxOwner => " Who must act: the mailbox's owner.",
        MustAct::Administrator => " Who must act: this mesh's administrator.",
        MustAct::TenantAdministrator => {
            " Who must act: the administrator of the provider's tenant."
        }
    };
    (
        problem.what_with_code(),
        format!("{}{link}{who}", problem.action),
    )
}

pub(crate) fn run(config: &ConfigArguments) -> ExitCode {
    let client = CommandConfig::new(config);
    let loader = client.loader.clone();
    let work = async move {
        let config: Config = loader.load()?;
        let report = Report::default();
        let keys = keys::read(&config, &report);
        nats::examine(&config.nats, &report).await;
        let database = database(&config, &report).await;
        report.tell(&public::examine(&config, database.as_ref()).await);
        let Some(database) = database else {
            say(
                "Client configurations and accounts are not checked while Postgres does not answer.",
            );
            return report
                .into_result()
                .map_err(|told| Unavailable::new(told).into());
        };
        if let Some(keys) = &keys {
            report.tell(&keys::open_stored(&database, keys).await);
        }
        tokio::join!(
            client::examine(&config, &database, &report),
            account::examine(&config, &database, &report),
        );
        report.into_result()
    };
    block_on_with(work, client.advice())
}

async fn database(config: &Config, report: &Report) -> Option<Database> {
    match connect(config).await {
        Ok(database) => {
            report.tell(&shape(&database).await);
            report.tell(&writes(&database).await);
            report.tell(&clock(&database).await);
            Some(database)
        }
        Err((problem, action)) => {
            report.tell(&Finding::bad("Postgres", problem, action));
            None
        }
    }
}

async fn connect(config: &Config) -> Result<Database, (String, &'static str)> {
    let Some(postgres) = &config.postgres else {
        let action = "Set postgres.url, or postgres.url_file.";
        return Err(("no database is named".to_owned(), action));
    };
    let address = postgres.resolve().map_err(|error| {
        let action = "Correct postgres.url or postgres.url_file.";
        (ErrorChain(&error).to_string(), action)
    })?;
    Database::connect(&address).await.map_err(|error| {
        let action = "Start Postgres 15 or newer, or correct postgres.url.";
        (ErrorChain(&error).to_string(), action)
    })
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

/// A server that fails over answers and takes no writes.
async fn writes(database: &Database) -> Finding {
    let what = "writing to Postgres";
    let written = async {
        let mut tx = database.begin().await?;
        let nobody = ReplicaId::generate(&SystemClock);
        // Rolled back.
        replica::beat(&mut tx, nobody, "doctor").await.map(drop)
    };
    match written.await {
        Ok(()) => Finding::well(what),
        Err(error) => Finding::bad(
            what,
            ErrorChain(&error).to_string(),
            "See that postgres.url names the primary, that default_transaction_read_only is off, and that its disk has room.",
        ),
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
