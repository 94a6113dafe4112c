//! Behaviour against real sockets: scripted peers play the server.

mod imap;
mod message;
mod pop3;
mod smtp;
