//! A body that does not come is told from work that was not finished.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::World;

#[tokio::test]
async fn a_body_that_does_not_come_is_the_callers_and_changed_nothing() {
    let world = World::new().await.unwrap();
    let key = world.key_of("administrator").await.unwrap();
    let mut stream = TcpStream::connect(world.address).await.unwrap();
    let head = format!(
        "POST /v1/accounts HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: 100\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();

    let mut answer = vec![0; 4096];
    let reading = tokio::time::timeout(Duration::from_mins(1), stream.read(&mut answer));
    let length = reading.await.unwrap().unwrap();

    let answer = String::from_utf8_lossy(&answer[..length]);
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("nothing was changed"), "{answer}");
    world.finish().await.unwrap();
}
