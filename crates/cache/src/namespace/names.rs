//! What things are called in Redis.
//!
//! ```text
//! user:3:{42}        a value, by the text of its key
//! user:3:{42}:fill   its fence: there while it is loaded
//! user:3:{:v}        the version of the namespace
//! user:3:{:v}:t      which tags were removed
//! ```
//!
//! The text of a key has no `:` and no brace, so nothing here can be taken for anything else. A namespace that begins as
//! another does (`user:3` beside schema 3 of `user`) is told of more changes than its own, and never of fewer. What one
//! script needs lies in one slot of a cluster.

const FENCE: &[u8] = b":fill";

#[derive(Debug)]
pub(crate) struct Names {
    /// For people.
    pub(crate) title: String,
    /// What all of them begin with, and what is tracked.
    pub(crate) prefix: String,
    pub(crate) versions: Vec<u8>,
    pub(crate) tags: Vec<u8>,
}

impl Names {
    pub(crate) fn new(namespace: &str, schema: u32) -> Self {
        let prefix = format!("{namespace}:{schema}:");
        let versions = [prefix.as_bytes(), b"{:v}"].concat();
        let tags = [prefix.as_bytes(), b"{:v}:t"].concat();
        Self { title: namespace.to_owned(), prefix, versions, tags }
    }

    pub(crate) fn fence(value: &[u8]) -> Vec<u8> {
        [value, FENCE].concat()
    }

    pub(super) fn is_fence(name: &[u8]) -> bool {
        name.ends_with(FENCE)
    }
}
