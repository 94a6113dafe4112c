pub(crate) mod refresh_token;
