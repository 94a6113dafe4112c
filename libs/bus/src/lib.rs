//! JetStream: streams and consumers as declared data, publisher, fence, consumer loop, dead letters, raw mail blobs.
