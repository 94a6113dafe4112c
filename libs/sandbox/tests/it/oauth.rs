mod app;
pub(crate) mod driver;
mod fault;
mod flow;
mod microsoft;
mod refresh;
mod refusal;
mod secure;
