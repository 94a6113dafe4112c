//! Takes commands in: what is good is queued, what is not is rejected with the field at fault, and
//! nothing is acknowledged before it is durable.

mod account_name;
mod cancel_mail;
mod command;
mod command_writer;
mod failed_computations;
mod intake;
mod send_mail;
mod spread;

pub(crate) use command::named_mail;
pub(crate) use intake::Intake;

#[cfg(test)]
mod tests;
