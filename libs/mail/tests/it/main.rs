//! Behaviour against real sockets: scripted peers play the server.

mod imap;
mod message;
mod smtp;
