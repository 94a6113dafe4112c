use std::sync::Arc;

use async_nats::header::{
    HeaderName, NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, NATS_MESSAGE_TTL, NATS_ROLLUP,
};
use bytes::Bytes;
use tokio::sync::Mutex;

use crate::connection::Bus;
use crate::direct;
use crate::publish::{Outgoing, PublishError, PublishReceipt};
use crate::stored::ReadError;
use crate::stream::StreamKind;
use crate::subject::{Prefix, is_token};

const EXPECTED_SUBJECT: HeaderName =
    HeaderName::from_static("Nats-Expected-Last-Subject-Sequence-Subject");

/// The right to publish an account's events, until another owner takes the fence.
///
/// The token is the sequence of a message that the stream keeps for ever. Each fenced event carries its owner's token in a
/// header; the stream itself refuses it when there is a newer one. Clones share one turn to publish.
#[derive(Debug, Clone)]
pub struct Fence {
    account: String,
    token: u64,
    turn: Arc<Mutex<()>>,
}

/// Why the fence was not taken.
#[derive(Debug, thiserror::Error)]
pub enum FenceError {
    /// Another replica took it at the same time.
    #[error("somebody else took the fence of {account} at the same time")]
    Lost { account: String },
    /// The account's key cannot stand in a subject.
    #[error("{account:?} cannot stand in a subject")]
    BadAccount { account: String },
    /// The last fence could not be read.
    #[error("cannot read the fence of {account}")]
    Read {
        account: String,
        #[source]
        source: ReadError,
    },
    /// The new fence could not be published, or the outcome is unknown.
    #[error("cannot publish the fence of {account}")]
    Publish {
        account: String,
        #[source]
        source: PublishError,
    },
}

impl Fence {
    pub fn account(&self) -> &str {
        &self.account
    }

    /// Returns the token; it grows with each owner.
    pub const fn token(&self) -> u64 {
        self.token
    }

    pub(crate) fn guard(&self, prefix: &Prefix) -> [(HeaderName, String); 2] {
        [
            (NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, self.token.to_string()),
            (EXPECTED_SUBJECT, prefix.subject(&subject(&self.account))),
        ]
    }
}

impl Bus {
    /// Takes over the account: from now on the stream refuses the events of every earlier owner.
    pub async fn take_fence(&self, account: &str) -> Result<Fence, FenceError> {
        if !is_token(account) {
            return Err(FenceError::BadAccount {
                account: account.to_owned(),
            });
        }
        let subject = subject(account);
        let last = direct::last_of_leader(self, StreamKind::Events, &subject)
            .await
            .map_err(|source| FenceError::Read {
                account: account.to_owned(),
                source,
            })?;
        let previous = last.map_or(0, |stored| stored.sequence);
        let outgoing = Outgoing {
            subject,
            message_id: String::new(),
            headers: Vec::new(),
            payload: Bytes::new(),
        };
        // With last sequence 0 the stream holds no fence yet. Rollup keeps one message an account; without its own TTL it would end
        // with the stream's max_age, and every later publish be refused until somebody fences anew.
        let reserved = [
            (NATS_EXPECTED_LAST_SUBJECT_SEQUENCE, previous.to_string()),
            (NATS_ROLLUP, "sub".to_owned()),
            (NATS_MESSAGE_TTL, "never".to_owned()),
        ];
        match self.send_when_free(self.prepare(outgoing, &reserved)).await {
            Ok(published) => Ok(Fence {
                account: account.to_owned(),
                token: published.sequence,
                turn: Arc::default(),
            }),
            Err(PublishError::Fenced { .. }) => Err(FenceError::Lost {
                account: account.to_owned(),
            }),
            Err(source) => Err(FenceError::Publish {
                account: account.to_owned(),
                source,
            }),
        }
    }

    /// As [`Bus::publish_all`], but the stream refuses each message once another owner holds the fence.
    pub async fn publish_fenced_all(
        &self,
        fence: &Fence,
        outgoing: Vec<Outgoing>,
    ) -> Vec<Result<PublishReceipt, PublishError>> {
        let guard = fence.guard(&self.inner.prefix);
        let prepared = outgoing.into_iter().map(|each| self.prepare(each, &guard));
        // nats-server 2.15 with replicas refuses fenced publishes of one subject that are in flight together (10164): one at a
        // time, or one atomic batch.
        if self.inner.settings.streams.replicas == 1 {
            return self.send_all(prepared.collect()).await;
        }
        let _turn = fence.turn.lock().await;
        self.send_in_turn(prepared.collect()).await
    }
}

/// Two tokens where events have three, so that the stream's republish rule leaves fences alone.
fn subject(account: &str) -> String {
    format!("fence.{account}")
}
