//! Those who make the load, each a task of its own that checks what it alone does.

use std::sync::Arc;

use async_trait::async_trait;
use tokio::runtime::Handle;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::random::Random;
use crate::stage::Stage;

#[async_trait]
pub(crate) trait Actor: Send + 'static {
    /// One call or a few. It ends soon, whatever happens to the server, and tells `stage.report` what is wrong.
    async fn turn(&mut self, stage: &Stage);

    /// Nobody calls, Redis is there and has done all that it will do: is it what was told? What was looked at is
    /// removed there and forgotten here.
    fn audit(&mut self, stage: &Stage);
}

struct Part {
    actor: Arc<Mutex<dyn Actor>>,
    task: JoinHandle<()>,
}

pub(crate) struct Cast {
    stage: Stage,
    seed: u64,
    actors: Vec<Part>,
}

impl Cast {
    pub(crate) fn new(stage: &Stage, seed: u64) -> Self {
        Self { stage: stage.clone(), seed, actors: Vec::new() }
    }

    /// Lets another one play in `runtime`, with a name and a randomness of its own.
    pub(crate) fn enter<A: Actor>(&mut self, runtime: &Handle, make: impl FnOnce(u64, Random) -> A) {
        let name = self.actors.len() as u64 + 1;
        let actor = Arc::new(Mutex::new(make(name, Random::new(self.seed, 2 * name))));
        let mut pace = Random::new(self.seed, 2 * name + 1);
        let task = runtime.spawn({
            let (stage, actor) = (self.stage.clone(), actor.clone());
            async move {
                loop {
                    let turn = stage.gate.enter().await;
                    actor.lock().await.turn(&stage).await;
                    drop(turn);
                    tokio::time::sleep(pace.millis(1, 7)).await;
                }
            }
        });
        self.actors.push(Part { actor, task });
    }

    /// With the gate shut.
    pub(crate) fn audit(&self, stage: &Stage) {
        for Part { actor, task } in &self.actors {
            assert!(!task.is_finished(), "an actor has panicked");
            actor.try_lock().expect("nobody plays").audit(stage);
        }
    }
}
