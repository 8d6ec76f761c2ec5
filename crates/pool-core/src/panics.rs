//! A panic in a task of the pool: its callers are told what is known of it, and it goes on to the runtime.

use std::any::Any;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::pin;

use crate::brief::brief;
use crate::config::Target;

/// What `work` gives. Should it panic, `tell` has the reason before whatever the task owns is dropped.
pub(crate) async fn watched<F: Future>(work: F, target: &Target, tell: impl FnOnce(String)) -> F::Output {
    let (mut work, mut tell) = (pin!(work), Some(tell));
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(cx))) {
        Ok(polled) => polled,
        Err(panic) => {
            if let Some(tell) = tell.take() {
                tell(cause(&*panic, target));
            }
            // What was left of `work` by the panic is not polled again.
            resume_unwind(panic)
        }
    })
    .await
}

/// A runtime that was built without its drivers is told by tokio's own words.
pub(crate) fn cause(panic: &(dyn Any + Send), target: &Target) -> String {
    let said = panic.downcast_ref::<&str>().copied();
    let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or_default();
    if ["enable_io", "enable_time"].iter().any(|driver| said.contains(driver)) {
        return "this tokio runtime has no I/O or time driver: build it with enable_all()".to_owned();
    }
    match brief(&target.scrub(said)).as_str() {
        "" => "the task of this connection panicked".to_owned(),
        said => format!("the task of this connection panicked: {said}"),
    }
}
