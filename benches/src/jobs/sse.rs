//! `progress-sse`: one job, and many clients of one axum service, who read in a process of their own.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::sse::{Event, Sse};
use axum::routing::get;
use cenote_pubsub_progress::sse::{Resume, WriteTimeoutListener, respond};
use cenote_pubsub_progress::{JobHandle, Progress};
use futures_util::{StreamExt, stream};
use redis::aio::{ConnectionManager, ConnectionManagerConfig, MultiplexedConnection};
use redis::{PushInfo, PushKind};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::sync::broadcast;

use super::fans::{Counter, Fan, bare};
use super::{PAYLOAD, progress};
use crate::clients::redis_rs::open;

/// The word by which this program is called to read.
pub(crate) const READERS: &str = "__sse-readers";
/// In each frame that tells a state.
const MARK: &[u8] = b"event: update";

/// The clients, in a process of their own, which says each time that all of them have a frame more.
struct Readers {
    _child: Child,
}

impl Readers {
    async fn start(addr: SocketAddr, clients: usize, counter: &Arc<Counter>) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([READERS, &addr.to_string(), &clients.to_string()])
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("its output")?).lines();
        let ready = lines.next_line().await?;
        ensure!(ready.as_deref() == Some("ready"), "the readers are not there: {ready:?}");
        let counter = counter.clone();
        tokio::spawn(async move {
            while let Ok(Some(_)) = lines.next_line().await {
                counter.arrived(clients);
            }
        });
        Ok(Self { _child: child })
    }
}

/// What the child does.
pub(crate) async fn read(arguments: &[OsString]) -> Result<()> {
    let [addr, clients] = arguments else { anyhow::bail!("an address, and how many") };
    let addr: SocketAddr = addr.to_str().context("text")?.parse()?;
    let clients: usize = clients.to_str().context("text")?.parse()?;
    let (seen, mut readers) = (Arc::new(AtomicUsize::new(0)), Vec::new());
    for _ in 0..clients {
        #[expect(clippy::disallowed_methods, reason = "a client of the service that is measured")]
        let mut stream = TcpStream::connect(addr).await?;
        stream.write_all(b"GET / HTTP/1.1\r\nHost: bench\r\n\r\n").await?;
        let mut head = [0; 64];
        ensure!(stream.read(&mut head).await? > 12 && head.starts_with(b"HTTP/1.1 200"), "it is served");
        readers.push(stream);
    }
    println!("ready");
    let mut tasks = tokio::task::JoinSet::new();
    for stream in readers {
        let seen = seen.clone();
        tasks.spawn(async move { count(stream, &seen, clients).await });
    }
    while tasks.join_next().await.is_some() {}
    Ok(())
}

async fn count(mut stream: TcpStream, seen: &AtomicUsize, clients: usize) {
    let (mut buffer, mut held) = ([0; 2048], 0);
    while let Ok(read @ 1..) = stream.read(&mut buffer[held..]).await {
        let end = held + read;
        let marks = buffer[..end].windows(MARK.len()).filter(|window| *window == MARK).count();
        for _ in 0..marks {
            if (seen.fetch_add(1, Ordering::SeqCst) + 1).is_multiple_of(clients) {
                println!("all");
            }
        }
        // The beginning of a mark may be at the end.
        held = (MARK.len() - 1).min(end);
        buffer.copy_within(end - held..end, 0);
    }
}

async fn serve(app: Router) -> Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let addr = listener.local_addr()?;
    tokio::spawn(async move { axum::serve(WriteTimeoutListener::new(listener), app).await });
    Ok(addr)
}

pub(super) struct Cenote(JobHandle, #[expect(dead_code, reason = "kept alive")] Readers);

impl Fan for Cenote {
    const NAME: &'static str = "cenote";

    async fn open(url: &str, clients: usize, counter: &Arc<Counter>) -> Result<Self> {
        let name = format!("sse-{clients}");
        let job = progress(url)?.start(&name).await?;
        let events = |State((progress, job)): State<(Progress, String)>, resume: Resume| async move {
            respond(&progress, [job], resume).await
        };
        let addr = serve(Router::new().route("/", get(events)).with_state((progress(url)?, name))).await?;
        Ok(Self(job, Readers::start(addr, clients, counter).await?))
    }

    async fn publish(&mut self) -> Result<()> {
        self.0.inc(1);
        Ok(())
    }
}

fn frame(payload: &[u8]) -> Result<Event, axum::Error> {
    Ok(Event::default().event("update").id("1:1:1").data(String::from_utf8_lossy(payload)))
}

/// axum's `Sse` over a connection for each client.
pub(super) struct PubSub(MultiplexedConnection, String, #[expect(dead_code, reason = "kept alive")] Readers);

impl Fan for PubSub {
    const NAME: &'static str = "redis-rs pub/sub";

    async fn open(url: &str, clients: usize, counter: &Arc<Counter>) -> Result<Self> {
        let (client, channel) = (open(url)?, format!("sse-pubsub-{clients}"));
        let events = |State((client, channel)): State<(redis::Client, String)>| async move {
            let messages = async {
                let mut messages = client.get_async_pubsub().await?;
                messages.subscribe(&channel).await?;
                redis::RedisResult::Ok(messages.into_on_message())
            };
            let messages = messages.await.map_err(|error| error.to_string())?;
            Ok::<_, String>(Sse::new(messages.map(|message| frame(message.get_payload_bytes()))))
        };
        let state = (client.clone(), channel.clone());
        let addr = serve(Router::new().route("/", get(events)).with_state(state)).await?;
        let readers = Readers::start(addr, clients, counter).await?;
        Ok(Self(client.get_multiplexed_async_connection().await?, channel, readers))
    }

    async fn publish(&mut self) -> Result<()> {
        bare(&mut self.0, &self.1).await
    }
}

/// axum's `Sse` over one connection and a broadcast channel.
pub(super) struct Push(
    MultiplexedConnection,
    String,
    #[expect(dead_code, reason = "kept alive")] (Readers, ConnectionManager),
);

impl Fan for Push {
    const NAME: &'static str = "redis-rs push";

    async fn open(url: &str, clients: usize, counter: &Arc<Counter>) -> Result<Self> {
        let (client, channel) = (open(&format!("{url}?protocol=resp3"))?, format!("sse-push-{clients}"));
        let (sender, _) = broadcast::channel::<PushInfo>(1_024);
        let events = |State(sender): State<broadcast::Sender<PushInfo>>| async move {
            let payloads = stream::unfold(sender.subscribe(), |mut pushes| async move {
                loop {
                    let push = pushes.recv().await.ok()?;
                    if push.kind == PushKind::Message {
                        return Some((Bytes::from_static(&[b'x'; PAYLOAD]), pushes));
                    }
                }
            });
            Sse::new(payloads.map(|payload| frame(&payload)))
        };
        let addr = serve(Router::new().route("/", get(events)).with_state(sender.clone())).await?;
        let config = ConnectionManagerConfig::new().set_push_sender(sender).set_automatic_resubscription();
        let mut manager = client.get_connection_manager_with_config(config).await?;
        manager.subscribe(&channel).await?;
        let readers = Readers::start(addr, clients, counter).await?;
        Ok(Self(client.get_multiplexed_async_connection().await?, channel, (readers, manager)))
    }

    async fn publish(&mut self) -> Result<()> {
        bare(&mut self.0, &self.1).await
    }
}
