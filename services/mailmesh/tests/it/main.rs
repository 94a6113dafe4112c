//! The command line as a person meets it: the real binary, its words and its exit codes.

#[cfg(test)]
mod api_key;
#[cfg(test)]
mod command;
#[cfg(test)]
mod config;
#[cfg(test)]
mod doctor;
#[cfg(test)]
mod doctor_client;
mod doctor_nats;
#[cfg(test)]
mod first_contact;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod locked;
#[cfg(test)]
mod nats_users;
#[cfg(test)]
mod reseal;
#[cfg(test)]
mod running;
#[cfg(test)]
mod setting;
#[cfg(test)]
mod start;
#[cfg(test)]
mod up;
