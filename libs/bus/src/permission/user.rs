use super::rights::Permissions;

/// A user in nats-server's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsUser {
    /// What stands above it, line by line.
    pub comment: String,
    pub name: String,
    /// As it is written there: a quoted text, or a variable such as `$ADMIN_PASSWORD`.
    pub password: String,
    /// None for a user that may do everything in its account.
    pub permissions: Option<Permissions>,
}

impl NatsUser {
    pub(super) fn to_config(&self, indent: &str) -> String {
        let mut text = String::new();
        for line in self.comment.lines() {
            text.extend([indent, "# ", line, "\n"]);
        }
        let Self { name, password, .. } = self;
        text.extend([indent, "{\n"]);
        text.extend([indent, "  user: \"", name, "\"\n"]);
        text.extend([indent, "  password: ", password, "\n"]);
        if let Some(permissions) = &self.permissions {
            text.push_str(&permissions.to_config(&format!("{indent}  ")));
        }
        text.extend([indent, "}\n"]);
        text
    }
}
