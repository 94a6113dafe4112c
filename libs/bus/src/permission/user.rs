use super::rights::Permissions;

/// A user in nats-server's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsUser {
    /// What stands above it, line by line.
    pub comment: String,
    pub name: String,
    /// As it is written there: a quoted text, or a variable such as `$ADMIN_PASSWORD`.
    pub password: String,
    /// None for a user that may do everything.
    pub permissions: Option<Permissions>,
}

/// Returns the `authorization` block with these users; everybody else is refused.
pub fn users_config(users: &[NatsUser]) -> String {
    let mut text = String::from("authorization {\n  users: [\n");
    for user in users {
        for line in user.comment.lines() {
            text.extend(["    # ", line, "\n"]);
        }
        let NatsUser { name, password, .. } = user;
        text.push_str("    {\n");
        text.extend(["      user: \"", name, "\"\n"]);
        text.extend(["      password: ", password, "\n"]);
        if let Some(permissions) = &user.permissions {
            text.push_str(&permissions.to_config("      "));
        }
        text.push_str("    }\n");
    }
    text.push_str("  ]\n}\n");
    text
}
