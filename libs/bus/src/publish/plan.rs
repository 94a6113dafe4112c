use super::budget::units_of;
use super::message::PreparedMessage;
use crate::stream::kind::StreamKind;

/// Minimum messages of a batch. Fewer are as fast one by one: a batch costs the server a staging folder and five syncs
/// of its disk (nats-server 2.15), a message one.
const LEAST_TOGETHER: usize = 16;
/// Maximum messages of a batch; the server takes 1,000. Larger ones are hardly faster, and a refused one is sent twice.
const MOST_TOGETHER: usize = 200;
const MOST_BYTES_TOGETHER: usize = 4 * 1024 * 1024;
/// Maximum bytes of a message in a batch. Larger ones gain little: the sync is a small part of the time that they take.
const LARGEST_TOGETHER: usize = 256 * 1024;

/// A message and its place among those of the call.
#[derive(Debug)]
pub(super) struct IndexedMessage {
    pub(super) index: usize,
    pub(super) prepared: PreparedMessage,
}

/// What is sent together and answered by one acknowledgement.
#[derive(Debug)]
pub(super) enum PublishStep {
    /// A message by itself.
    One(IndexedMessage),
    /// Neighbours for one stream, stored all or none.
    Together(Vec<IndexedMessage>),
}

impl PublishStep {
    pub(super) const fn is_batch(&self) -> bool {
        matches!(self, Self::Together(_))
    }

    /// The part of the budget that it takes while it is in flight.
    pub(super) fn units(&self) -> usize {
        let messages = match self {
            Self::One(message) => std::slice::from_ref(message),
            Self::Together(messages) => messages,
        };
        units_of(messages.iter().map(|message| message.prepared.bytes))
    }
}

/// Cuts messages into what is sent together, in their order.
pub(super) fn plan(messages: Vec<IndexedMessage>) -> Vec<PublishStep> {
    let mut steps = Vec::new();
    let mut run = Run::default();
    for message in messages {
        let stream = stream_of(&message.prepared);
        if !run.takes(stream, message.prepared.bytes) {
            run.end(&mut steps);
        }
        match stream {
            Some(_) => run.add(stream, message),
            None => steps.push(PublishStep::One(message)),
        }
    }
    run.end(&mut steps);
    steps
}

/// The stream that takes the message in a batch; none if it goes by itself.
fn stream_of(message: &PreparedMessage) -> Option<StreamKind> {
    let is_small = message.bytes <= LARGEST_TOGETHER;
    let stream = is_small.then(|| StreamKind::of(&message.subject)).flatten();
    stream.filter(|stream| stream.takes_batches())
}

/// Neighbours that may go together.
#[derive(Default)]
struct Run {
    stream: Option<StreamKind>,
    messages: Vec<IndexedMessage>,
    bytes: usize,
}

impl Run {
    fn takes(&self, stream: Option<StreamKind>, bytes: usize) -> bool {
        self.stream == stream
            && self.messages.len() < MOST_TOGETHER
            && self.bytes + bytes <= MOST_BYTES_TOGETHER
    }

    fn add(&mut self, stream: Option<StreamKind>, message: IndexedMessage) {
        self.stream = stream;
        self.bytes += message.prepared.bytes;
        self.messages.push(message);
    }

    fn end(&mut self, steps: &mut Vec<PublishStep>) {
        let run = std::mem::take(self);
        if run.messages.len() < LEAST_TOGETHER {
            steps.extend(run.messages.into_iter().map(PublishStep::One));
        } else {
            steps.push(PublishStep::Together(run.messages));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn planned(messages: &[(usize, &str, usize)]) -> Vec<String> {
        let each = messages
            .iter()
            .flat_map(|&(count, subject, bytes)| std::iter::repeat_n((subject, bytes), count));
        let placed = each
            .enumerate()
            .map(|(index, (subject, bytes))| IndexedMessage {
                index,
                prepared: PreparedMessage {
                    subject: subject.to_owned(),
                    wire_subject: subject.to_owned(),
                    headers: async_nats::HeaderMap::new(),
                    payload: bytes::Bytes::new(),
                    bytes,
                },
            });
        let steps = plan(placed.collect());
        let mut next = 0;
        let mut shown: Vec<String> = Vec::new();
        for step in steps {
            let (sign, messages) = match step {
                PublishStep::One(message) => ("1", vec![message]),
                PublishStep::Together(messages) => ("", messages),
            };
            for message in &messages {
                assert_eq!(message.index, next, "in their order");
                next += 1;
            }
            match sign {
                "1" => shown.push("one".to_owned()),
                _ => shown.push(format!("{} together", messages.len())),
            }
        }
        shown.dedup();
        shown
    }

    #[test]
    fn many_small_ones_for_one_stream_go_together() {
        let sent = "mail.sent.a";
        assert_eq!(planned(&[(15, sent, 100)]), ["one"]);
        assert_eq!(planned(&[(16, sent, 100)]), ["16 together"]);
        assert_eq!(
            planned(&[(10, sent, 100), (10, "account.changed.b", 100)]),
            ["20 together"]
        );
        assert_eq!(
            planned(&[(20, sent, 100), (21, "raw.m.0", 100)]),
            ["20 together", "21 together"]
        );
        assert_eq!(
            planned(&[(216, sent, 100)]),
            ["200 together", "16 together"]
        );
        assert_eq!(planned(&[(203, sent, 100)]), ["200 together", "one"]);
        assert_eq!(planned(&[(50, "mail.send", 100)]), ["one"]);
    }

    #[test]
    fn large_ones_go_alone_and_a_batch_has_a_bound() {
        let kib = 1024;
        assert_eq!(planned(&[(20, "raw.m.0", 257 * kib)]), ["one"]);
        assert_eq!(planned(&[(40, "raw.m.0", 200 * kib)]), ["20 together"]);
        assert_eq!(
            planned(&[
                (16, "raw.m.0", 100),
                (1, "raw.m.0", 512 * kib),
                (16, "raw.m.0", 100)
            ]),
            ["16 together", "one", "16 together"]
        );
    }
}
