//! The in-memory LRU beside its peers.
pub(crate) mod clients;
pub(crate) mod rounds;
pub(crate) mod trace;
