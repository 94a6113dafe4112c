use crate::cause::NatsCause;

/// Why the streams are not as they must be.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The server has no JetStream, or not for this user.
    #[error(
        "the NATS server has no JetStream for us: start it with --jetstream, or enable it for the account; a server whose disk is full switches it off"
    )]
    NoJetStream {
        #[source]
        source: NatsCause,
    },
    /// The sizes of the streams together do not fit on the server.
    #[error(
        "the server has no room for stream {stream} of {max_bytes} bytes: lower nats.streams.…_max_bytes or give the server more"
    )]
    NoRoom {
        stream: String,
        /// Its configured size.
        max_bytes: u64,
        #[source]
        source: NatsCause,
    },
    /// JetStream does not answer now: it starts, or elects a leader.
    #[error("JetStream does not answer for stream {stream}")]
    Unanswered {
        stream: String,
        #[source]
        source: NatsCause,
    },
    /// The stream is not there, and this process does not make it.
    #[error("there is no stream {stream}; make it with: mailmesh provision")]
    NotProvisioned { stream: String },
    /// The stream could not be read.
    #[error("cannot read stream {stream}")]
    Read {
        stream: String,
        #[source]
        source: NatsCause,
    },
    /// The stream could not be made.
    #[error("cannot make stream {stream}")]
    Create {
        stream: String,
        #[source]
        source: NatsCause,
    },
    /// The stream is there with settings that cannot be changed into ours.
    #[error("stream {stream} is there with other settings, and the server refuses to change it")]
    Update {
        stream: String,
        #[source]
        source: NatsCause,
    },
}

impl StreamError {
    /// Says what whoever runs the servers should do.
    pub const fn action(&self) -> &'static str {
        match self {
            Self::NoJetStream { .. } => {
                "Start nats-server with JetStream (nats-server -js), or enable it for the account of this user; if it had JetStream before, free room on its disk and restart it."
            }
            Self::NoRoom { .. } => {
                "Lower the sizes in [nats.streams], or raise the server's max_file_store or the account's limit."
            }
            Self::Unanswered { .. } => {
                "Nothing if it passes within a minute; else see that enough servers of the NATS cluster run."
            }
            Self::NotProvisioned { .. } => "Make the streams with: mailmesh provision",
            Self::Read { .. } | Self::Create { .. } => {
                "Do what the server's answer says; its log says more."
            }
            Self::Update { .. } => {
                "Set [nats.streams] to what the stream has, or delete the stream once it is read: mailmesh makes it again."
            }
        }
    }

    /// Says whether it may pass by itself. A server that was just started has no JetStream yet, and one of a cluster that just
    /// came up knows of no other that has room.
    pub(super) const fn may_pass(&self) -> bool {
        match self {
            Self::NoJetStream { .. }
            | Self::NoRoom { .. }
            | Self::Unanswered { .. }
            | Self::NotProvisioned { .. }
            | Self::Read { .. } => true,
            Self::Create { .. } | Self::Update { .. } => false,
        }
    }
}
