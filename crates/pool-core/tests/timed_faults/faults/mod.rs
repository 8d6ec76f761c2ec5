//! The rows, a file for each family; and each of them by every way to the server.

mod answers;
mod clients;
mod network;
mod ours;
mod process;

/// Rows that every run shows over TLS too, and through Sentinel. The others do so when there is time.
const ALWAYS: [&str; 8] = [
    "half_open",
    "reset_mid_reply",
    "truncated_reply",
    "freeze",
    "restart",
    "client_kill",
    "runtime_dropped",
    "close",
];

macro_rules! tests {
    ($($family:ident::$fault:ident,)*) => {$(
        mod $fault {
            use crate::reach::Reach;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn plain() {
                super::$family::$fault(Reach::Plain).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn through_sentinel() {
                if cenote_testkit::is_long() || super::ALWAYS.contains(&stringify!($fault)) {
                    super::$family::$fault(Reach::Sentinel).await;
                }
            }

            #[cfg(feature = "tls")]
            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn over_tls() {
                if cenote_testkit::is_long() || super::ALWAYS.contains(&stringify!($fault)) {
                    super::$family::$fault(Reach::Tls).await;
                }
            }
        }
    )*};
}

tests! {
    network::refused,
    network::accepted_then_closed,
    network::blackhole,
    network::half_open,
    network::reset_mid_reply,
    network::truncated_reply,
    network::latency,
    network::one_byte_at_a_time,
    process::kill,
    process::restart,
    process::freeze,
    process::loading,
    answers::role_change,
    answers::busy,
    answers::out_of_memory,
    clients::password_changed,
    clients::too_many_clients,
    clients::client_kill,
    clients::client_pause,
    clients::flushall,
    ours::runtime_dropped,
    ours::close,
    ours::slow_consumer,
}
