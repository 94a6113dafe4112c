use mailmesh_sandbox::{Fault, FaultRule};
use mailmesh_testkit::eventually;
use mailmesh_tests::{Leftovers, World, WorldSettings};

use crate::sample::{assert_each_once, command, submitted};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mail_that_comes_while_the_last_connection_closes_is_sent() {
    let mut world = World::start(WorldSettings {
        extra: "[outbound_sender]\nidle_seconds = 1\n".to_owned(),
        ..WorldSettings::default()
    })
    .await
    .unwrap();
    let mailbox = world.connect_sandbox("closing").await.unwrap();
    let slow = FaultRule::once("smtp.quit", Fault::Stall { seconds: Some(3) });

    let first = command(&mailbox, "first");
    world.publish("mail.send", &first).await.unwrap();
    world.events.wait("mail.sent", None, 1).await.unwrap();
    world.sandbox.faults().add(slow).unwrap();
    let closing = eventually("the idle connection closes", async || {
        world.sandbox.faults().is_empty()
    });
    closing.await.unwrap();
    let second = command(&mailbox, "second");
    world.publish("mail.send", &second).await.unwrap();

    world.events.wait("mail.sent", None, 2).await.unwrap();
    assert_each_once(
        &submitted(&world),
        &["first".to_owned(), "second".to_owned()],
    );
    world.finish(Leftovers::default()).await.unwrap();
}
