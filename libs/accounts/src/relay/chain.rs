use std::collections::HashMap;

use mailmesh_bus::{Bus, Outgoing, PublishError};
use mailmesh_store::outbox::OutboxRow;
use tokio::time::Instant;

/// What became of events that follow each other.
#[derive(Debug, Default)]
pub(crate) struct ChainResult {
    /// Stored by the bus.
    pub(crate) stored: Vec<i64>,
    /// Refused for good.
    pub(crate) refused: Vec<(i64, PublishError)>,
    /// Sent, and not answered.
    pub(crate) unknown: Vec<i64>,
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

/// Publishes the events of each chain in their order, up to the first that must wait. Chains go side by side, so that the
/// bus has many messages at once to store together. Nothing is begun after the deadline: the rows may be another replica's.
pub(crate) async fn publish(
    bus: &Bus,
    chains: &[Vec<OutboxRow>],
    deadline: Instant,
) -> ChainResult {
    let mut published = ChainResult::default();
    let mut waiting: Vec<_> = chains
        .iter()
        .map(|chain| chain.chunk_by(is_in_flight_with))
        .collect();
    while !waiting.is_empty() && Instant::now() < deadline {
        let next = waiting
            .into_iter()
            .filter_map(|mut runs| Some((runs.next()?, runs)));
        let next: Vec<_> = next.collect();
        let rows = next.iter().flat_map(|(run, _)| *run);
        let mut answers = bus
            .publish_all(rows.map(outgoing).collect())
            .await
            .into_iter();
        waiting = next
            .into_iter()
            .filter_map(|(run, runs)| published.take(run, &mut answers).then_some(runs))
            .collect();
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

impl ChainResult {
    /// Takes in what became of a run; says whether what follows it may go on.
    fn take(
        &mut self,
        run: &[OutboxRow],
        answers: &mut impl Iterator<Item = Result<mailmesh_bus::PublishReceipt, PublishError>>,
    ) -> bool {
        let mut may_go_on = true;
        for (row, answer) in run.iter().zip(answers) {
            match answer {
                Ok(_) => self.stored.push(row.id),
                Err(error) if error.is_retryable() => {
                    may_go_on = false;
                    if error.may_be_stored() {
                        self.unknown.push(row.id);
                    }
                    self.held_up.get_or_insert(error);
                }
                Err(error) => self.refused.push((row.id, error)),
            }
        }
        may_go_on
    }

    /// Returns the rows that the bus may hold.
    pub(crate) fn possibly_stored(&self) -> impl Iterator<Item = i64> {
        self.stored.iter().chain(&self.unknown).copied()
    }

    pub(crate) fn is_progress(&self) -> bool {
        !self.stored.is_empty() || !self.refused.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use mailmesh_events::EncodedEvent;

    use super::*;

    fn row((id, subject): (i64, &str)) -> OutboxRow {
        OutboxRow {
            id,
            event: EncodedEvent {
                subject: subject.to_owned(),
                id: id.to_string(),
                headers: Vec::new(),
                payload: Vec::new(),
            },
            created_at: time::OffsetDateTime::UNIX_EPOCH,
            may_be_stored: false,
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
