//! The bus against a real nats-server.

mod access;
mod batch;
mod cluster;
mod consume;
mod fence;
mod odd_header;
mod publish;
mod raw;
mod read_back;
mod restart;
mod streams;
mod subscription;
mod together;
mod trace;
mod world;
