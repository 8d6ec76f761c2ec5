//! What the warnings of the compat shim tell users to write is there.
#![cfg(all(feature = "compat-shim", feature = "cache"))]

use cenote::{Conn, Pool};

/// Compiles as long as the names are there.
async fn named(pool: Pool) -> Option<cenote::Cache<u64, String>> {
    let conn: fn(&Pool) -> Conn = Pool::conn;
    let _conn = conn(&pool);
    let _state = pool.start().await;
    let _exclusive = pool.dedicated().await;
    let _report = pool.close().await;
    None
}

#[test]
fn the_names_in_the_warnings_are_there() {
    let _ = named;
}
