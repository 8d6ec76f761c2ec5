//! One shared Redis pool.

pub mod clock;
mod fallback;

pub use clock::{Clock, SystemClock};
pub use fallback::{Fallback, NotDegradable};
pub use redis;
