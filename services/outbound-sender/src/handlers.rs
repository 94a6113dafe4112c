//! Takes commands in: what is good is queued, what is not is rejected with the field at fault, and
//! nothing is acknowledged before it is durable.

mod account_name;
mod cancel_mail;
mod command;
mod command_handler;
mod command_writer;
mod failed_computations;
mod send_mail;
mod spread;

pub(crate) use command::named_mail;
pub(crate) use command_handler::CommandHandler;

#[cfg(test)]
mod tests;
