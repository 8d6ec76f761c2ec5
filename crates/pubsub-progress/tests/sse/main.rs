//! Jobs as server-sent events, over a real server.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/site.rs"]
mod site;

mod curl;
mod ends;
mod refusals;
mod resume;
mod several;
mod streams;
