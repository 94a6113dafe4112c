use std::process::ExitCode;

use mailmesh_bus::{
    AccountScope, BusinessScope, BusinessSystem, NatsUser, Permissions, ServiceUser,
    accounts_config,
};

use crate::ConfigArguments;
use crate::config::{Config, loader};
use crate::console::{block_on, say};

const HEAD: &str = "\
# Accounts and users of nats-server for mailmesh: who may publish and subscribe to what. Everything else is refused, and so is whoever
# gives no user. Written by `mailmesh nats-users` from the rights that the services need; docs/permissions.md explains them.
#
# The mesh has one account, and each business system another, so that its requests cannot name subjects of others for their replies. A new
# system is a new account: its user's rights, the same subjects as imports, and the import of $JS.API.INFO, without which the server itself
# answers the system's calls of the JetStream API.
#
# Passwords are variables, defined in the included file (ADMIN_PASSWORD: \"…\"), which `mailmesh credentials` makes; nkeys do as well.
# Each user has an inbox of its own, which its clients must be told: nats.inbox_prefix = \"_INBOX_admin\" for a service,
# inbox_prefix=b\"_INBOX_support-desk\" in Python, --inbox-prefix with the nats command line.

include ./credentials/nats/passwords.conf

";

/// Prints the users for the configured prefix.
pub(crate) fn run(arguments: &ConfigArguments) -> ExitCode {
    let loader = loader(arguments);
    block_on(async move {
        let config: Config = loader.load()?;
        config.check_values(&[])?;
        let prefix = &config.nats.prefix;
        let accounts = accounts_config(prefix, &users(prefix), &business_systems());
        say(format!("{HEAD}{}", accounts.trim_end()));
        Ok(())
    })
}

fn users(prefix: &str) -> Vec<NatsUser> {
    let mut users = Vec::new();
    for service in ServiceUser::ALL {
        let inbox = inbox(service.name());
        users.push(NatsUser {
            comment: of_service(service).to_owned(),
            password: variable(service.name()),
            permissions: Some(Permissions::of_service(service, prefix, &inbox)),
            name: service.name().to_owned(),
        });
    }
    users.push(NatsUser {
        comment: "Operators: makes and changes streams (`mailmesh provision`), makes consumers for business systems, watches\n\
                  events (`mailmesh tail`, `mailmesh doctor`). No call of its own deletes a stream or a message, but who changes a\n\
                  stream says what it keeps and where it repeats messages: for administrators of NATS."
            .to_owned(),
        name: "operator".to_owned(),
        password: variable("operator"),
        permissions: Some(Permissions::of_operator(prefix, &inbox("operator"))),
    });
    users
}

fn business_systems() -> [BusinessSystem<'static>; 2] {
    let scope = AccountScope {
        sends_from: &["support-out"],
        receives_for: &["support"],
        consumers: &["support-desk"],
    };
    [
        BusinessSystem {
            comment: "Business systems that may send from and receive for every account, and trust each other. Its inbox is that of\n\
                      plain clients, so that the address is all they need.",
            name: "clients",
            password: "$CLIENTS_PASSWORD",
            scope: BusinessScope::Everything,
            inbox_prefix: "_INBOX",
        },
        BusinessSystem {
            comment: "An example to copy: a business system that sends from the account `support-out` alone, and reads the mail of\n\
                      `support` with the durable consumer `support-desk`, which an operator has made for it.",
            name: "support-desk",
            password: "$SUPPORT_DESK_PASSWORD",
            scope: BusinessScope::Accounts(scope),
            inbox_prefix: "_INBOX_support-desk",
        },
    ]
}

const fn of_service(service: ServiceUser) -> &'static str {
    match service {
        ServiceUser::Admin => {
            "Tells what was changed and what became of a mail that a person decided on; shows raw mails."
        }
        ServiceUser::AuthCallback => "Tells of new sign-ins. Reads nothing.",
        ServiceUser::TokenRefresh => "Takes requests for fresh tokens and tells what came of them.",
        ServiceUser::InboundFetcher => {
            "Publishes mail under its fence, stores raw mails, and reads back what was published."
        }
        ServiceUser::OutboundSender => {
            "Takes commands from its own consumer, keeps raw mails, tells what became of each mail."
        }
    }
}

fn inbox(user: &str) -> String {
    format!("_INBOX_{user}")
}

fn variable(user: &str) -> String {
    format!("${}_PASSWORD", user.to_ascii_uppercase().replace('-', "_"))
}
