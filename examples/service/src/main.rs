//! The reference service. `cargo xtask demo` runs it.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    cenote_service::run().await
}
