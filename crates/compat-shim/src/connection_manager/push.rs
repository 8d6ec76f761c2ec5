//! What is published, on its way to a push sender.

use std::collections::HashMap;
use std::sync::Arc;

use cenote_pool_core::{Event, Pool, Subscriber};
use parking_lot::Mutex;
use redis::aio::AsyncPushSender;
use redis::{PushInfo, PushKind, RedisResult, Value};
use tokio::task::AbortHandle;

/// The subscriptions of a manager and its clones: each has a task, which ends with it. They share one connection.
pub(super) struct Pushes {
    pool: Pool,
    sender: Arc<dyn AsyncPushSender>,
    tasks: Mutex<HashMap<(Vec<u8>, bool), AbortHandle>>,
}

impl Pushes {
    pub(super) fn new(pool: Pool, sender: Arc<dyn AsyncPushSender>) -> Self {
        Self { pool, sender, tasks: Mutex::default() }
    }

    pub(super) async fn subscribe(&self, names: Vec<Vec<u8>>, patterns: bool) -> RedisResult<()> {
        for name in names {
            let mut subscriber = self.pool.subscriber();
            if patterns {
                subscriber.psubscribe(&name).await?;
            } else {
                subscriber.subscribe(&name).await?;
            }
            let task = tokio::spawn(forward(subscriber, self.sender.clone()));
            if let Some(before) = self.tasks.lock().insert((name, patterns), task.abort_handle()) {
                before.abort();
            }
        }
        Ok(())
    }

    /// Of all there are, when none is named.
    pub(super) fn unsubscribe(&self, names: &[Vec<u8>], patterns: bool) {
        self.tasks.lock().retain(|(name, is_pattern), task| {
            let ends = *is_pattern == patterns && (names.is_empty() || names.contains(name));
            if ends {
                task.abort();
            }
            !ends
        });
    }
}

impl Drop for Pushes {
    fn drop(&mut self) {
        self.tasks.get_mut().values().for_each(AbortHandle::abort);
    }
}

async fn forward(mut subscriber: Subscriber, sender: Arc<dyn AsyncPushSender>) {
    while let Some(event) = subscriber.next().await {
        let Event::Message(message) = event else { continue };
        let text = |bytes: &[u8]| Value::BulkString(bytes.to_vec());
        let mut data = vec![text(message.channel_bytes()), text(message.payload())];
        let kind = match message.pattern() {
            Some(pattern) => {
                data.insert(0, text(pattern.as_bytes()));
                PushKind::PMessage
            }
            None => PushKind::Message,
        };
        if sender.send(PushInfo { kind, data }).is_err() {
            return;
        }
    }
}
