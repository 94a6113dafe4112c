//! The servers as clients see them that somebody else wrote: what these cannot do is a bug of the sandbox.

mod imap;
mod smtp;
