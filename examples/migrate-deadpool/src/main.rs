//! A shop: one request a line on standard input, one reply a line on standard output.
//!
//! Without the features of the stages this is the program as it was written, against deadpool-redis. What a stage changes
//! stands in this file, behind its feature; the modules beside it are the same in every stage. README.md tells the way.
#![cfg_attr(feature = "stage-2", deny(deprecated))]

// What moves in stage 3.
#[cfg_attr(feature = "native", path = "native/health.rs")]
#[cfg_attr(
    all(feature = "stage-2", not(feature = "native")),
    expect(deprecated, reason = "moves in stage 3")
)]
mod health;
#[cfg_attr(feature = "native", path = "native/prices.rs")]
#[cfg_attr(
    all(feature = "stage-2", not(feature = "native")),
    expect(deprecated, reason = "moves in stage 3")
)]
mod prices;
#[cfg_attr(feature = "native", path = "native/sales.rs")]
#[cfg_attr(
    all(feature = "stage-2", not(feature = "native")),
    expect(deprecated, reason = "moves in stage 3")
)]
mod sales;

// What moves in stage 4: it needs connections of its own.
#[cfg_attr(not(feature = "legacy"), path = "native/orders.rs")]
#[cfg_attr(all(feature = "stage-2", feature = "legacy"), expect(deprecated, reason = "moves in stage 4"))]
mod orders;
#[cfg(feature = "legacy")]
#[cfg_attr(feature = "stage-2", expect(deprecated, reason = "goes in stage 4"))]
mod pool;
#[cfg_attr(not(feature = "legacy"), path = "native/stock.rs")]
#[cfg_attr(all(feature = "stage-2", feature = "legacy"), expect(deprecated, reason = "moves in stage 4"))]
mod stock;

mod problem;
mod requests;

use std::error::Error;

use tokio::sync::watch;

/// What the modules use that move in stage 3.
#[cfg(not(feature = "native"))]
type First = pool::Redis;
#[cfg(feature = "native")]
type First = cenote::Pool;

/// What the others use.
#[cfg(feature = "legacy")]
type Last = pool::Redis;
#[cfg(not(feature = "legacy"))]
type Last = cenote::Pool;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("REDIS_URL")?;

    #[cfg(any(feature = "stage-1", feature = "native"))]
    let shared = cenote::Pool::builder().url(&url).env().build()?;
    #[cfg(feature = "stage-1")]
    cenote::compat_shim::install(shared.clone()).map_err(|_| "installed twice")?;

    #[cfg(feature = "legacy")]
    let (redis, workers) = (pool::for_requests(&url)?, pool::for_workers(&url)?);
    #[cfg(not(feature = "legacy"))]
    let (redis, workers) = (shared.clone(), shared.clone());

    let shop = requests::Shop {
        #[cfg(not(feature = "native"))]
        first: redis.clone(),
        #[cfg(feature = "native")]
        first: shared.clone(),
        last: redis,
    };
    let (open, is_open) = watch::channel(true);
    let workers = [(); 2].map(|()| tokio::spawn(orders::ship(workers.clone(), is_open.clone())));
    let mut requests = requests::from_stdin();
    while let Some(request) = requests.recv().await {
        println!("{}", shop.answer(&request).await);
    }
    open.send(false)?;
    for worker in workers {
        worker.await?;
    }

    #[cfg(feature = "stage-1")]
    for place in cenote::compat_shim::report() {
        eprintln!("left: {place}");
    }
    #[cfg(any(feature = "stage-1", feature = "native"))]
    shared.close().await;
    Ok(())
}
