//! nats-server's accounts: one for the mesh, and one for each business system.
//!
//! nats-server checks no right for the subject that a message names for its reply (tried with 2.15.1): within one account the
//! acknowledgement of a `mail.send` that names `raw.<id>.0` is stored over a raw mail, and a pulled event goes to `mail.received.<other>`.
//! Between accounts the server puts a reply subject of its own, `_R_.…`, in its place and sends the answer to the named one in the asking
//! account alone. An answer that names a subject imported there is passed on, so systems that do not trust each other share none.
//! `$JS.ACK.…` and `_R_.…` are not replaced, but refused to clients. They are not refused to leaf nodes, which hence do not sign in here.

use super::business::{self, BusinessScope};
use super::rights::{Permissions, inbox_of};
use super::user::NatsUser;
use crate::subject::Prefix;

/// The account of the services and operators, which holds the streams.
pub const MESH_ACCOUNT: &str = "MESH";

/// Time after which nats-server forgets where the messages of a pull go. Clients pull for seconds or minutes; each pull costs the
/// server 600 bytes for this time if its inbox stays (2.15.1).
const LONGEST_PULL: &str = "1h";

/// A business system, which has an account of its own with one user in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BusinessSystem<'a> {
    /// What stands above its account, line by line.
    pub comment: &'a str,
    /// The user's name; the account's is the same in capitals.
    pub name: &'a str,
    /// As [`NatsUser::password`].
    pub password: &'a str,
    pub scope: BusinessScope<'a>,
    pub inbox_prefix: &'a str,
}

impl BusinessSystem<'_> {
    fn inbox(&self) -> String {
        inbox_of(self.inbox_prefix)
    }

    /// Those that push deliver to the system's inbox, but from the account of the mesh.
    fn makes_consumers(&self) -> bool {
        matches!(self.scope, BusinessScope::Everything)
    }
}

/// Returns the `accounts` block: the mesh with its users and what it offers, and each system with what it takes of that.
///
/// Everybody else is refused.
pub fn accounts_config(prefix: &str, mesh: &[NatsUser], systems: &[BusinessSystem<'_>]) -> String {
    let prefix = Prefix::new(prefix);
    let mut text = format!("accounts {{\n  {MESH_ACCOUNT}: {{\n    jetstream: enabled\n");
    text.push_str(&users(mesh));
    text.push_str(&list("exports", &exports(&prefix, systems)));
    text.push_str("  }\n");
    for system in systems {
        text.push_str(&account(system, &prefix));
    }
    text.push_str("}\n");
    text
}

fn account(system: &BusinessSystem<'_>, prefix: &Prefix) -> String {
    let BusinessSystem { name, password, .. } = system;
    let permissions = business::rights(&system.scope, prefix, system.inbox_prefix);
    let imports = imports(&permissions, system);
    let user = NatsUser {
        comment: String::new(),
        name: (*name).to_owned(),
        password: (*password).to_owned(),
        permissions: Some(permissions),
    };
    let mut text = String::new();
    for line in system.comment.lines() {
        text.extend(["  # ", line, "\n"]);
    }
    let account = name.to_ascii_uppercase().replace('-', "_");
    text.extend(["  ", &account, ": {\n"]);
    text.push_str(&users(&[user]));
    text.push_str(&list("imports", &imports));
    text.push_str("  }\n");
    text
}

fn users(users: &[NatsUser]) -> String {
    let mut text = String::from("    users: [\n");
    for user in users {
        text.push_str(&user.to_config("      "));
    }
    text.push_str("    ]\n");
    text
}

/// What may be imported, each by whom its own configuration lets import it: all that any business system needs.
fn exports(prefix: &Prefix, systems: &[BusinessSystem<'_>]) -> Vec<String> {
    let offered = business::rights(&BusinessScope::Everything, prefix, "");
    let services = offered.publish.iter().map(|subject| {
        // All other calls have one answer.
        let is_pull = subject.starts_with("$JS.API.CONSUMER.MSG.NEXT.");
        let many = if is_pull {
            format!(", response_type: stream, response_threshold: \"{LONGEST_PULL}\"")
        } else {
            String::new()
        };
        format!("{{ service: \"{subject}\"{many} }}")
    });
    let inboxes = systems.iter().filter(|system| system.makes_consumers());
    let inboxes = inboxes.map(BusinessSystem::inbox);
    let events = offered.subscribe.into_iter();
    let events = events.filter(|subject| *subject != inbox_of(""));
    let streams = events.chain(inboxes);
    let streams = streams.map(|subject| format!("{{ stream: \"{subject}\" }}"));
    services.chain(streams).collect()
}

fn imports(permissions: &Permissions, system: &BusinessSystem<'_>) -> Vec<String> {
    let import = |kind: &str, subject: &str| {
        format!("{{ {kind}: {{ account: {MESH_ACCOUNT}, subject: \"{subject}\" }} }}")
    };
    // An account that does not import this, whoever may ask for it, gets an answer of the server to each call of the JetStream API:
    // "JetStream not enabled for account", beside that of the mesh (2.15.1).
    let info = "$JS.API.INFO".to_owned();
    let is_missing = !permissions.publish.contains(&info);
    let services = permissions
        .publish
        .iter()
        .chain(is_missing.then_some(&info));
    let services = services.map(|subject| import("service", subject));
    let heard = permissions.subscribe.iter();
    let heard = heard.filter(|subject| system.makes_consumers() || **subject != system.inbox());
    services
        .chain(heard.map(|subject| import("stream", subject)))
        .collect()
}

fn list(name: &str, lines: &[String]) -> String {
    let mut text = format!("    {name}: [\n");
    for line in lines {
        text.extend(["      ", line, "\n"]);
    }
    text.push_str("    ]\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::permission::AccountScope;
    use crate::subject::matches;

    #[test]
    fn whatever_a_system_imports_is_exported_and_a_pull_has_many_answers() {
        let scope = AccountScope {
            sends_from: &["a", "*"],
            receives_for: &["b"],
            consumers: &["c"],
        };
        let system = |scope| BusinessSystem {
            comment: "",
            name: "some-system",
            password: "$PASSWORD",
            scope,
            inbox_prefix: "_INBOX_x",
        };
        let systems = [
            system(BusinessScope::Everything),
            system(BusinessScope::Accounts(scope)),
        ];
        let prefix = Prefix::new("mesh7");
        let exports = exports(&prefix, &systems);
        // What it is, and its subject.
        let read = |line: &str| {
            let kind = line.split(':').next().unwrap_or_default().to_owned();
            (kind, line.split('"').nth(1).unwrap_or_default().to_owned())
        };
        let exported: Vec<_> = exports.iter().map(|line| read(line)).collect();

        for system in systems {
            let permissions = business::rights(&system.scope, &prefix, system.inbox_prefix);
            for import in imports(&permissions, &system) {
                let (kind, subject) = read(&import);
                let mut exported = exported.iter();
                let is_exported =
                    exported.any(|(other, filter)| *other == kind && matches(filter, &subject));
                assert!(is_exported, "{import}");
            }
        }
        let pull = exports.iter().find(|export| export.contains("MSG.NEXT"));
        assert!(
            pull.unwrap()
                .contains("response_type: stream, response_threshold")
        );
        assert!(!exports.iter().any(|export| export.contains("\".>\"")));
    }
}
