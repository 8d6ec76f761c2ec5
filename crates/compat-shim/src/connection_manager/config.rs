//! The settings of redis-rs' manager.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use redis::aio::AsyncPushSender;

/// The settings of redis-rs' manager, with its defaults.
///
/// What concerns reconnecting is accepted and has no effect: the shared pool reconnects by its own configuration.
#[derive(Clone)]
#[cfg_attr(feature = "deprecated", deprecated(since = "0.1.0", note = "use `cenote::Pool` and its `conn()`"))]
pub struct ConnectionManagerConfig {
    exponent_base: f32,
    min_delay: Duration,
    max_delay: Option<Duration>,
    number_of_retries: usize,
    response_timeout: Option<Duration>,
    connection_timeout: Option<Duration>,
    automatic_resubscription: bool,
    pub(super) push_sender: Option<Arc<dyn AsyncPushSender>>,
}

impl ConnectionManagerConfig {
    /// The defaults: responses within 500 ms, connections within 1 s.
    pub fn new() -> Self {
        Self::default()
    }

    /// Without effect.
    pub fn min_delay(&self) -> Duration {
        self.min_delay
    }

    /// Without effect.
    pub fn max_delay(&self) -> Option<Duration> {
        self.max_delay
    }

    /// Without effect.
    pub fn exponent_base(&self) -> f32 {
        self.exponent_base
    }

    /// Without effect.
    pub fn number_of_retries(&self) -> usize {
        self.number_of_retries
    }

    /// The limit of a command. Default 500 ms; with `None` it is the shared pool's own.
    pub fn response_timeout(&self) -> Option<Duration> {
        self.response_timeout
    }

    /// The limit of the first connection. Default 1 s.
    pub fn connection_timeout(&self) -> Option<Duration> {
        self.connection_timeout
    }

    /// Without effect: the shared pool always resubscribes.
    pub fn automatic_resubscription(&self) -> bool {
        self.automatic_resubscription
    }

    /// Without effect.
    #[must_use]
    pub fn set_min_delay(mut self, min_delay: Duration) -> Self {
        self.min_delay = min_delay;
        self
    }

    /// Without effect.
    #[must_use]
    pub fn set_max_delay(mut self, time: Duration) -> Self {
        self.max_delay = Some(time);
        self
    }

    /// Without effect.
    #[must_use]
    pub fn set_exponent_base(mut self, base: f32) -> Self {
        self.exponent_base = base;
        self
    }

    /// Without effect.
    #[must_use]
    pub fn set_number_of_retries(mut self, amount: usize) -> Self {
        self.number_of_retries = amount;
        self
    }

    /// Sets the limit of a command.
    #[must_use]
    pub fn set_response_timeout(mut self, duration: Option<Duration>) -> Self {
        self.response_timeout = duration;
        self
    }

    /// Sets the limit of the first connection.
    #[must_use]
    pub fn set_connection_timeout(mut self, duration: Option<Duration>) -> Self {
        self.connection_timeout = duration;
        self
    }

    /// Where what is published goes.
    #[must_use]
    pub fn set_push_sender(mut self, sender: impl AsyncPushSender) -> Self {
        self.push_sender = Some(Arc::new(sender));
        self
    }

    /// Without effect, but that it needs a push sender, as there.
    #[must_use]
    pub fn set_automatic_resubscription(mut self) -> Self {
        self.automatic_resubscription = true;
        self
    }

    /// Without effect: the shared pool bounds what is in flight.
    #[must_use]
    pub fn set_pipeline_buffer_size(self, _size: usize) -> Self {
        self
    }

    /// Without effect: the shared pool bounds what is in flight.
    #[must_use]
    pub fn set_concurrency_limit(self, _limit: usize) -> Self {
        self
    }
}

impl Default for ConnectionManagerConfig {
    fn default() -> Self {
        Self {
            exponent_base: 2.0,
            min_delay: Duration::from_millis(100),
            max_delay: None,
            number_of_retries: 6,
            response_timeout: Some(Duration::from_millis(500)),
            connection_timeout: Some(Duration::from_secs(1)),
            automatic_resubscription: false,
            push_sender: None,
        }
    }
}

impl fmt::Debug for ConnectionManagerConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConnectionManagerConfig")
            .field("response_timeout", &self.response_timeout)
            .field("connection_timeout", &self.connection_timeout)
            .finish_non_exhaustive()
    }
}
