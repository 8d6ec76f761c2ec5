pub use redis::Client as Driver;
pub use pools::{Config as Settings, Runtime};
