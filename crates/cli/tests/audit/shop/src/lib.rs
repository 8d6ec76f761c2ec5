//! Each file has the patterns of one sort.

pub mod aliases;
mod blocking;
mod builders;
mod cfgs;
pub mod db;
mod globs;
mod handlers;
mod includes;
mod inference;
mod lookalikes;
mod macros;
mod methods;
mod nameless;
mod pointers;
#[path = "elsewhere.rs"]
mod moved;
mod statics;

pub use db::Store;

pub mod prelude {
    pub use redis::aio::ConnectionManager as Keeper;
    pub use redis::Client;
}
