//! A lane that has reached its age, on a stream in memory.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::task::{self, Poll};
use std::time::{Duration, Instant};

use cenote_testkit::Watchdog;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::handle::{Lane, Use};
use super::task::serve;
use crate::budget::Held;
use crate::config::PoolConfig;
use crate::dial::{Connection, Greeting};
use crate::pool::Context;
use crate::timer;

const SOON: Duration = Duration::from_secs(20);

/// Takes everything, answers nothing, and counts how often it is looked at.
struct Mute(Arc<AtomicUsize>);

impl AsyncRead for Mute {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut task::Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Poll::Pending
    }
}

impl AsyncWrite for Mute {
    fn poll_write(self: Pin<&mut Self>, _: &mut task::Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut task::Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[test]
fn each_connection_draws_an_age_of_its_own_from_three_quarters_of_the_setting_on() {
    let age = Duration::from_secs(400);
    let config = PoolConfig { connection_max_age: Some(age), ..PoolConfig::default() };
    let (context, now) = (Context::nowhere(config), Instant::now());
    let mut ages: Vec<_> = (0..200).filter_map(|_| Some(context.old_at(now)? - now)).collect();
    ages.sort_unstable();
    assert!(ages[0] >= age * 3 / 4 && ages[199] <= age, "from {:?} to {:?}", ages[0], ages[199]);
    // For less all of them would have to lie in the same half.
    assert!(ages[199] - ages[0] > age / 8, "from {:?} to {:?}", ages[0], ages[199]);
    assert_eq!(Context::nowhere(PoolConfig::default()).old_at(now), None);
}

#[tokio::test]
async fn an_exclusive_lane_that_was_given_back_is_asked_for_a_sign_of_life_and_waits_for_it_at_rest() {
    let _watchdog = Watchdog::new(SOON * 2);
    let config = PoolConfig {
        connection_max_age: Some(Duration::from_millis(200)),
        health_check_interval: Duration::from_millis(1),
        socket_timeout: Duration::from_secs(60),
        ..PoolConfig::default()
    };
    let context = Arc::new(Context::nowhere(config));
    let lane = Lane::new(tokio::runtime::Handle::current().id(), Use::Exclusive, context.window());
    let held = Held::new(context.budget.clone(), context.budget.try_acquire().expect("a fresh budget"));
    let looks = Arc::new(AtomicUsize::new(0));
    let io = Box::new(Mute(looks.clone()));
    let connection = Connection { io, held, greeting: Greeting::default(), renewal: None };
    let driver = tokio::spawn({
        let (lane, context) = (lane.clone(), context.clone());
        async move { serve(&lane, &context, connection, &Weak::new()).await }
    });
    while !lane.check_in() {
        tokio::task::yield_now().await;
    }
    // Until it is asked for a sign of life, and is old, and for a while after that.
    let asked_and_old = async {
        while lane.in_flight() == 0 || !lane.is_old() {
            timer::sleep(Duration::from_millis(1)).await;
        }
    };
    assert!(timer::within(SOON, asked_and_old).await.is_some(), "it is asked as soon as it was given back");
    timer::sleep(Duration::from_millis(300)).await;
    let looks = looks.load(Ordering::Relaxed);
    assert!(looks < 100, "it was looked at {looks} times");
    assert!(!lane.has_ended());
    driver.abort();
}
