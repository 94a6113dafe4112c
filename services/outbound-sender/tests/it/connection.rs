//! How many connections an account opens.

use anyhow::Result;
use mailmesh_sandbox::{Fault, FaultRule};

use crate::world::{World, send_body};

#[tokio::test]
async fn refused_further_connections_are_not_tried_with_every_mail() -> Result<()> {
    let mut world = World::new().await?;
    world.add_account("one", 4).await?;
    let text = "454 4.7.0 Too many login attempts, please try again later".to_owned();
    world.sandbox.faults().add(FaultRule {
        count: None,
        after: 1,
        ..FaultRule::once("smtp.auth", Fault::Reply { text })
    })?;
    world.start_sender().await?;

    for number in 0..200 {
        let body = send_body("one", "a@elsewhere.test", &format!("mail {number}."));
        world.publish("mail.send", body).await?;
    }
    for _ in 0..200 {
        world.event("mail.sent").await?;
    }

    // Those that were opened before the first was refused.
    let refused = world.sandbox.faults().list()[0].taken;
    assert!((1..=3).contains(&refused), "{refused}");
    world.finish().await
}
