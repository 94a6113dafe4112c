use crate::cause::NatsCause;

/// Why the streams are not as they must be.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// The server has no JetStream, or not for this user.
    #[error(
        "the NATS server has no JetStream for us: start it with --jetstream, or enable it for the account"
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
