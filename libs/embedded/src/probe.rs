use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use crate::user::ServerUser;

/// Runs `program --version` as the user who would run the server and returns (major, minor).
pub(crate) async fn version_of(
    program: &Path,
    user: Option<&ServerUser>,
) -> Result<(u32, u32), String> {
    let mut command = Command::new(program);
    command
        .arg("--version")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    if let Some(user) = user {
        command.uid(user.uid).gid(user.gid);
    }
    let output = tokio::time::timeout(Duration::from_secs(10), command.output())
        .await
        .map_err(|_elapsed| "it did not answer to --version".to_owned())?
        .map_err(|error| format!("it cannot be run: {error}"))?;
    if !output.status.success() {
        return Err(format!(
            "--version ended with {}: {}",
            output.status,
            last_lines(&output.stderr, 3)
        ));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    parse_version(&text).ok_or_else(|| format!("no version in {:?}", text.trim()))
}

/// Reads `2.15` of `nats-server: v2.15.1` and `15.18` of `postgres (PostgreSQL) 15.18 (Debian 15.18-0)`;
/// a beta like `19beta1` counts as its major version.
fn parse_version(text: &str) -> Option<(u32, u32)> {
    text.split_whitespace().find_map(|word| {
        let mut parts = word.trim_start_matches('v').split('.').map(leading_number);
        let major = parts.next()??;
        Some((major, parts.next().flatten().unwrap_or(0)))
    })
}

fn leading_number(text: &str) -> Option<u32> {
    let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// Returns the last lines of a program's output, on one line.
pub(crate) fn last_lines(output: &[u8], count: usize) -> String {
    let text = String::from_utf8_lossy(output);
    let lines: Vec<&str> = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect();
    let skipped = lines.len().saturating_sub(count);
    lines.get(skipped..).unwrap_or_default().join(" | ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_the_servers_print_them() {
        for (printed, version) in [
            ("nats-server: v2.15.1\n", Some((2, 15))),
            ("nats-server: v2.9.10", Some((2, 9))),
            (
                "postgres (PostgreSQL) 15.18 (Debian 15.18-0+deb12u1)",
                Some((15, 18)),
            ),
            ("postgres (PostgreSQL) 19beta1", Some((19, 0))),
            ("postgres: command not found", None),
            ("", None),
        ] {
            assert_eq!(parse_version(printed), version, "{printed}");
        }
    }
}
