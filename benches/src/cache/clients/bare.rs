//! The pool that the cache stands on, by itself: what no cache over it can beat.

use std::ops::Range;

use anyhow::Result;
use cenote::{Conn, Pool};
use redis::AsyncCommands;

use super::{Stored, StoredMany};
use crate::cache::values::{bare_keys, check, value};

#[derive(Clone)]
pub(in crate::cache) struct Bare(Conn);

impl Bare {
    pub(in crate::cache) async fn connect(url: &str) -> Result<Self> {
        let pool = Pool::builder().url(url).build()?;
        pool.start().await?;
        let (mut conn, value) = (pool.conn(), value());
        for keys in bare_keys().chunks(1000) {
            let mut pipeline = redis::pipe();
            for key in keys {
                // Expiring, as a cache's values are: Redis looks twice for those.
                pipeline.set_ex(key, &value, 3600).ignore();
            }
            let () = pipeline.query_async(&mut conn).await?;
        }
        Ok(Self(pool.conn()))
    }
}

impl Stored for Bare {
    const NAME: &'static str = "cenote pool";

    async fn get(&mut self, index: usize) -> Result<()> {
        let value: Vec<u8> = self.0.get(&bare_keys()[index]).await?;
        check(&value)
    }
}

impl StoredMany for Bare {
    const NAME: &'static str = "cenote pool";

    async fn get_many(&mut self, indices: Range<usize>) -> Result<()> {
        let values: Vec<Vec<u8>> = self.0.mget(&bare_keys()[indices]).await?;
        values.iter().try_for_each(|value| check(value))
    }
}
