mod close;
mod end_of_mail;
mod fetch;
mod hostile;
mod listing;
mod peer;
mod sign_in;
mod start_tls;
