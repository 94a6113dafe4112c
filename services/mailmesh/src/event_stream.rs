use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use mailmesh_bus::{Bus, Hint, SubscribeError, Subscription};

/// Subscribes to several subjects and returns what comes on any of them; it ends when the bus is closed.
pub(crate) async fn subscribe_to_all(
    bus: &Bus,
    subjects: impl IntoIterator<Item = String>,
) -> Result<BoxStream<'static, Hint>, SubscribeError> {
    let mut subscriptions = Vec::new();
    for subject in subjects {
        subscriptions.push(bus.subscribe(&subject, None).await?);
    }
    let events = subscriptions.into_iter().map(|subscription| {
        let next = async |mut events: Subscription| Some((events.next().await?, events));
        stream::unfold(subscription, next).boxed()
    });
    Ok(stream::select_all(events).boxed())
}
