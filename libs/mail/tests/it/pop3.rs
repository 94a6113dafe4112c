mod close;
mod fetch;
mod hostile;
mod listing;
mod peer;
mod sign_in;
mod start_tls;
