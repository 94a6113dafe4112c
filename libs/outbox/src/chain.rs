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

/// Publishes events one after the other, up to the first that must wait.
pub(crate) async fn publish(bus: &Bus, chain: Vec<OutboxRow>) -> Published {
    let mut published = Published::default();
    for row in chain {
        let outgoing = Outgoing {
            subject: row.event.subject,
            message_id: row.event.id,
            headers: row.event.headers,
            payload: row.event.payload.into(),
        };
        match bus.publish(outgoing).await {
            Ok(_) => published.stored.push(row.id),
            Err(error) if error.is_retryable() => {
                published.held_up = Some(error);
                break;
            }
            Err(error) => published.refused.push((row.id, error)),
        }
    }
    published
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

    #[test]
    fn each_key_has_a_chain_in_the_order_of_rows() {
        let rows = [
            (1, "mail.sent.a"),
            (2, "mail.sent.b"),
            (3, "account.failing.a"),
            (4, "mail.sent.a"),
        ];
        let rows = rows.map(|(id, subject)| OutboxRow {
            id,
            event: Encoded {
                subject: subject.to_owned(),
                id: id.to_string(),
                headers: Vec::new(),
                payload: Vec::new(),
            },
        });

        let chains = by_key(rows.into());

        let ids: Vec<Vec<i64>> = chains
            .iter()
            .map(|chain| chain.iter().map(|row| row.id).collect())
            .collect();
        assert_eq!(ids, [vec![1, 3, 4], vec![2]]);
    }
}
