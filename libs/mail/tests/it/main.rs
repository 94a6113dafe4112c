//! Behaviour against real sockets: scripted peers play the server.

mod connect;
mod imap;
mod message;
mod mime;
mod pop3;
mod smtp;
mod wrong_setting;
