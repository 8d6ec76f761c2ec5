//! The two runtimes that live as long as the soak, and what is asked of both at its end.

use std::thread::{self, JoinHandle};

use cenote_pool_core::{CloseReport, Pool};
use redis::RedisResult;
use tokio::runtime::{Builder, Handle, Id, Runtime};
use tokio::sync::oneshot;

const BURST_TASKS: usize = 25;

pub(crate) struct Runtimes {
    multi: Runtime,
    single: Handle,
    _stop: oneshot::Sender<()>,
    _thread: JoinHandle<()>,
}

impl Runtimes {
    pub(crate) fn start() -> Self {
        let multi = Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let single = Builder::new_current_thread().enable_all().build().unwrap();
        let handle = single.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = thread::spawn(move || {
            let _ = single.block_on(stopped);
        });
        Self { multi, single: handle, _stop: stop, _thread: thread }
    }

    pub(crate) fn multi(&self) -> Handle {
        self.multi.handle().clone()
    }

    pub(crate) fn single(&self) -> Handle {
        self.single.clone()
    }

    pub(crate) fn alive_tasks(&self) -> usize {
        [self.multi(), self.single()].iter().map(|runtime| runtime.metrics().num_alive_tasks()).sum()
    }

    /// So many commands at once, half of them in each runtime: every one is answered, and rightly.
    pub(crate) fn burst(&self, pool: &Pool, count: usize) {
        let each = count / (2 * BURST_TASKS);
        let tasks: Vec<_> = [self.multi(), self.single()]
            .iter()
            .flat_map(|runtime| {
                (0..BURST_TASKS).map(|task| runtime.spawn(burst(pool.clone(), runtime.id(), task, each)))
            })
            .collect();
        for task in tasks {
            self.multi.block_on(task).unwrap().expect("nothing is wrong with Redis");
        }
    }

    pub(crate) fn close(&self, pool: &Pool) -> CloseReport {
        self.multi.block_on(pool.close())
    }
}

async fn burst(pool: Pool, runtime: Id, task: usize, count: usize) -> RedisResult<()> {
    let mut conn = pool.conn();
    for n in 0..count {
        let payload = format!("burst:{runtime}:{task}:{n}");
        let echoed: String = redis::cmd("ECHO").arg(&payload).query_async(&mut conn).await?;
        assert_eq!(echoed, payload);
    }
    Ok(())
}
