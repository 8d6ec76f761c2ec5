//! Lets the runtime's other tasks run, now and then.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

/// Ready, until the task has used up its turn; then after the next poll, whatever tokio says.
///
/// Tokio wakes who waits for a turn once its own poll of the task is over. That is never for an executor of others that
/// waits within it (`futures::executor::block_on` in a task), so this one wakes itself.
pub(crate) async fn give_way() {
    let (mut turn, mut waited) = (pin!(tokio::task::coop::consume_budget()), false);
    poll_fn(|cx| {
        if waited || turn.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        waited = true;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}
