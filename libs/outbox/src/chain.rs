use std::collections::HashMap;

use mailmesh_bus::{Bus, Outgoing, PublishError};
use mailmesh_store::outbox::OutboxRow;

/// What became of events that follow each other.
#[derive(Debug, Default)]
pub(crate) struct Published {
    /// Stored by the bus.
    pub(crate) stored: Vec<i64>,
    /// Refused for good.
    pub(crate) refused: Vec<(i64, PublishError)>,
    /// What kept the next one back, and all behind it.
    pub(crate) held_up: Option<PublishError>,
}

/// Cuts rows into chains, one per account or grant: the last token of the subject.
pub(crate) fn by_key(rows: Vec<OutboxRow>) -> Vec<Vec<OutboxRow>> {
    let mut chains: Vec<Vec<OutboxRow>> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for row in rows {
        let key = row.event.subject.rsplit('.').next().unwrap_or_default();
        let place = *places.entry(key.to_owned()).or_insert(chains.len());
        match chains.get_mut(place) {
            Some(chain) => chain.push(row),
            None => chains.push(vec![row]),
        }
    }
    chains
}

/// Publishes events in their order, up to the first that must wait.
pub(crate) async fn publish(bus: &Bus, chain: Vec<OutboxRow>) -> Published {
    let mut published = Published::default();
    for run in chain.chunk_by(is_in_flight_with) {
        let outgoing = run.iter().map(outgoing).collect();
        let answers = bus.publish_all(outgoing).await;
        for (row, answer) in run.iter().zip(answers) {
            match answer {
                Ok(_) => published.stored.push(row.id),
                Err(error) if error.is_retryable() => {
                    published.held_up.get_or_insert(error);
                }
                Err(error) => published.refused.push((row.id, error)),
            }
        }
        if published.held_up.is_some() {
            break;
        }
    }
    published
}

/// Says whether a row may be sent before the one in front of it is confirmed: both tell of mails, and
/// of the same thing. Such events are about different mails, because the next event of one mail has
/// another subject or comes after a retry's wait; among mails there is no order to keep, and a
/// confirmation for each would cap an account at the disk's sync rate.
fn is_in_flight_with(front: &OutboxRow, row: &OutboxRow) -> bool {
    front.event.subject == row.event.subject && row.event.subject.starts_with("mail.")
}

fn outgoing(row: &OutboxRow) -> Outgoing {
    Outgoing {
        subject: row.event.subject.clone(),
        message_id: row.event.id.clone(),
        headers: row.event.headers.clone(),
        payload: row.event.payload.clone().into(),
    }
}

impl Published {
    pub(crate) fn merge(mut self, other: Self) -> Self {
        self.stored.extend(other.stored);
        self.refused.extend(other.refused);
        self.held_up = self.held_up.or(other.held_up);
        self
    }

    pub(crate) fn is_progress(&self) -> bool {
        !self.stored.is_empty() || !self.refused.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use mailmesh_events::Encoded;

    use super::*;

    fn row((id, subject): (i64, &str)) -> OutboxRow {
        OutboxRow {
            id,
            event: Encoded {
                subject: subject.to_owned(),
                id: id.to_string(),
                headers: Vec::new(),
                payload: Vec::new(),
            },
        }
    }

    fn ids(rows: &[OutboxRow]) -> Vec<i64> {
        rows.iter().map(|row| row.id).collect()
    }

    #[test]
    fn each_key_has_a_chain_in_the_order_of_rows() {
        let rows = [
            (1, "mail.sent.a"),
            (2, "mail.sent.b"),
            (3, "account.failing.a"),
            (4, "mail.sent.a"),
        ];

        let chains = by_key(rows.map(row).into());

        let chains: Vec<Vec<i64>> = chains.iter().map(|chain| ids(chain)).collect();
        assert_eq!(chains, [vec![1, 3, 4], vec![2]]);
    }

    #[test]
    fn only_the_same_news_of_mails_is_in_flight_together() {
        let chain = [
            (1, "mail.deferred.a"),
            (2, "mail.sent.a"),
            (3, "mail.sent.a"),
            (4, "account.changed.a"),
            (5, "account.changed.a"),
        ]
        .map(row);

        let runs: Vec<Vec<i64>> = chain.chunk_by(is_in_flight_with).map(ids).collect();

        assert_eq!(runs, [vec![1], vec![2, 3], vec![4], vec![5]]);
    }
}
