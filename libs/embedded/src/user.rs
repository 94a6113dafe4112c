use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::EmbeddedError;

/// The user whom Postgres runs as when we are root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ServerUser {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl ServerUser {
    /// Returns nobody when we are not root; else the owner of the data, else `postgres`, else `nobody`.
    pub(crate) fn choose(data: Option<&Path>) -> Result<Option<Self>, EmbeddedError> {
        if !rustix::process::geteuid().is_root() {
            return Ok(None);
        }
        if let Some(owner) = data.and_then(owner_of) {
            return Ok(Some(owner));
        }
        // initdb looks its own user up, so an id without a name will not do.
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        find_user(&users, "postgres")
            .or_else(|| find_user(&users, "nobody"))
            .map(Some)
            .ok_or(EmbeddedError::NoUser)
    }

    /// Returns whether this user can pass through every folder on the way to and including `path`.
    pub(crate) fn can_enter(self, path: &Path) -> bool {
        path.ancestors().all(|folder| {
            fs::metadata(folder).is_ok_and(|metadata| {
                let bit = if metadata.uid() == self.uid {
                    0o100
                } else if metadata.gid() == self.gid {
                    0o010
                } else {
                    0o001
                };
                metadata.mode() & bit != 0
            })
        })
    }
}

/// Returns how the password file calls this user.
pub(crate) fn user_name(uid: u32) -> String {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    find_name(&users, uid).map_or_else(|| format!("user {uid}"), str::to_owned)
}

fn owner_of(path: &Path) -> Option<ServerUser> {
    let metadata = fs::metadata(path).ok()?;
    (metadata.uid() != 0).then(|| ServerUser {
        uid: metadata.uid(),
        gid: metadata.gid(),
    })
}

fn find_user(users: &str, name: &str) -> Option<ServerUser> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(ServerUser { uid, gid })
    })
}

fn find_name(users: &str, uid: u32) -> Option<&str> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)?.parse() == Ok(uid)).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_read_from_the_password_file() {
        let users = "root:x:0:0:root:/root:/bin/bash\npostgres:x:101:104:PostgreSQL,,,:/var/lib:/bin/bash\n";

        assert_eq!(
            find_user(users, "postgres"),
            Some(ServerUser { uid: 101, gid: 104 })
        );
        assert_eq!(find_user(users, "nobody"), None);
        assert_eq!(find_name(users, 101), Some("postgres"));
        assert_eq!(find_name(users, 104), None);
    }
}
