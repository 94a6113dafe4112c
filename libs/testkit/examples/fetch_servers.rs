//! Fetches the pinned servers and prints where they are, as shell variables; for `deploy/images.sh`.

use std::io::Write;

use mailmesh_testkit::FetchedServers;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let servers = FetchedServers::fetch().await?;
    let mut output = std::io::stdout().lock();
    writeln!(output, "nats_server={}", servers.nats_server.display())?;
    writeln!(output, "postgres={}", servers.postgres.display())?;
    writeln!(output, "java={}", servers.java.display())?;
    writeln!(output, "greenmail={}", servers.greenmail.display())?;
    Ok(())
}
