//! Holds `docs/operations.md` to the errors and reports of real pools.
#![cfg(all(feature = "fallback-lru", feature = "tls"))]

use std::fs;
use std::path::Path;
use std::pin::pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cenote::redis::{AsyncCommands, RedisResult};
use cenote::{FallbackLru, Pool, PoolBuilder, PoolConfig};
use cenote_testkit::{
    Answer, Authority, Canned, Proxy, Server, StandInSentinel, blackhole_addr, dead_port, eventually_async,
};

const PAGE: &str = include_str!("../../../docs/operations.md");
const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(10);
/// Hard to bring about from outside, so only looked for in the source.
const IN_SOURCE: &[&str] = &[
    "no connection became free within",
    "overloaded: the window is full",
    "the task of this connection panicked: ",
];

/// What stands in backticks in the first cell of each row of the table.
fn quoted() -> Vec<&'static str> {
    let (_, table) = PAGE.split_once("## Troubleshooting").expect("the section");
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split(" | ").next().unwrap_or_default());
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).collect()
}

/// Numbers and their units are examples: `5s`, `187 ms` and `19` become `#`.
fn shape(text: &str) -> String {
    let mut shape = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '.' && c != 'µ');
        let (word, after) = rest.split_at(word.unwrap_or(rest.len()).max(first.len_utf8()));
        shape.push_str(if first.is_ascii_digit() { "#" } else { word });
        rest = after;
    }
    shape.replace("# ms", "#").replace("# s", "#")
}

fn at(url: impl Into<String>) -> PoolBuilder {
    Pool::builder().url(url).shared_connections(1)
}

/// Why `start` fails when Redis is required.
async fn refusal(pool: PoolBuilder) -> String {
    pool.required(true).connect_timeout(SHORT).build().unwrap().start().await.unwrap_err().to_string()
}

fn why<T: std::fmt::Debug>(answer: RedisResult<T>) -> String {
    answer.unwrap_err().to_string()
}

async fn get(pool: &Pool, limit: Duration) -> String {
    why(pool.conn().with_timeout(limit).get::<_, Option<String>>("key").await)
}

async fn at_the_door(real: &mut Vec<String>) {
    let dead = at(format!("redis://{}/0", dead_port()));
    real.push(refusal(dead.clone()).await);
    let dead = dead.build().unwrap();
    real.extend([get(&dead, LONG).await, get(&dead, LONG).await]);

    let hole = blackhole_addr();
    real.push(refusal(at(hole.url())).await);
    real.push(get(&at(hole.url()).build().unwrap(), SHORT).await);
    let searching = at(hole.url()).connect_timeout(SHORT).build().unwrap();
    let said = Mutex::new(String::new());
    eventually_async(LONG, "a call finds that Redis is tried", || async {
        let error = get(&searching, LONG).await;
        let found = error.contains("a try is under way");
        *said.lock().unwrap() = error;
        found
    })
    .await;
    real.push(said.into_inner().unwrap());

    let server = Server::builder().password("right").start();
    let addr = server.addr();
    for url in [format!("redis://{addr}/0"), format!("redis://:wrong@{addr}/0")] {
        real.push(refusal(at(url)).await);
    }
    let proxy = Proxy::to(&server);
    proxy.stall_replies();
    real.push(refusal(at(proxy.url())).await);
    for said in ["-ERR max number of clients reached\r\n", "-LOADING Redis is loading the dataset\r\n"] {
        // To each command of the greeting.
        real.push(refusal(at(Canned::replying(said.repeat(9)).url())).await);
    }
    real.push(refusal(at(Canned::http().url())).await);
}

async fn at_the_sentinels(real: &mut Vec<String>) {
    let ignorant: Vec<StandInSentinel> = (0..3).map(|_| StandInSentinel::naming(None)).collect();
    let three = Pool::builder().sentinel("main", ignorant.iter().map(|it| it.addr().to_string()));
    real.push(refusal(three).await);
    real.push(refusal(at(StandInSentinel::naming(dead_port()).url())).await);
}

async fn over_tls(real: &mut Vec<String>) {
    let authority = Authority::new();
    let serve = |identity, asks| Server::builder().tls(&authority, &identity, asks).start();
    let trusting = |url: String| at(url.replace("redis://", "rediss://")).tls_ca_file(authority.ca_file());
    let to = |server: &Server| trusting(format!("redis://{}", server.tls_addr()));

    let good = serve(authority.issue("127.0.0.1"), false);
    real.push(refusal(at(format!("redis://{}", good.tls_addr()))).await);
    real.push(refusal(at(Canned::replying([0x15, 3, 1, 0, 2, 2, 70]).url())).await);
    real.push(refusal(trusting(Canned::http().url())).await);
    real.push(refusal(trusting(Canned::answering(|_, _| Answer::Silence).url())).await);
    let stranger = Authority::new();
    real.push(refusal(to(&good).tls_ca_file(stranger.ca_file())).await);
    real.push(refusal(to(&serve(authority.issue("elsewhere"), false))).await);
    real.push(refusal(to(&serve(authority.issue_expired("127.0.0.1"), false))).await);
    real.push(refusal(to(&serve(authority.issue("127.0.0.1"), true))).await);
}

async fn on_the_way(real: &mut Vec<String>) {
    let server = Server::start();
    let mut config = PoolConfig::default();
    config.window_commands = 1;
    let narrow = Pool::builder().config(config).url(server.url()).shared_connections(1).build().unwrap();
    let impatient = at(server.url()).socket_timeout(SHORT).max_connections(2).build().unwrap();
    for pool in [&narrow, &impatient] {
        pool.start().await.unwrap();
    }
    let holder = impatient.dedicated().await.unwrap();
    real.push(impatient.dedicated().await.unwrap_err().to_string());
    drop(holder);
    real.push(why(impatient.conn().blpop::<_, Option<String>>("jobs", 1.0).await));

    real.push(why(redis::cmd("SUBSCRIBE").arg("news").exec_async(&mut impatient.conn()).await));
    let resp2 = at(format!("{}?protocol=resp2", server.url())).build().unwrap();
    real.push(resp2.subscriber().track("user:").await.unwrap_err().to_string());
    let listening = at(server.url()).socket_timeout(SHORT).build().unwrap();
    let mut subscriber = listening.subscriber().with_timeout(SHORT / 2);
    subscriber.subscribe("news").await.unwrap();

    server.freeze();
    real.push(subscriber.subscribe("more").await.unwrap_err().to_string());
    let (first, second) = tokio::join!(get(&narrow, SHORT), get(&narrow, SHORT));
    real.extend([first, second, get(&impatient, LONG).await]);
    server.thaw();
}

async fn beside_redis(real: &mut Vec<String>) {
    let mut config = PoolConfig::default();
    config.url = format!("redis://{}/0", dead_port());
    config.journal_keys = 1;
    let pool = Pool::builder().config(config).fallback(FallbackLru::default()).build().unwrap();
    let mut cache = pool.degradable().unwrap();
    let () = cache.set("one", 1).await.unwrap();
    real.push(why(cache.set::<_, _, ()>("two", 2).await));
    real.push(why(cache.incr::<_, _, i64>("one", 1).await));
    real.push(at("redis://localhost").build().unwrap().degradable().unwrap_err().to_string());
    real.push(Pool::builder().enabled(false).build().unwrap_err().to_string());
}

fn outside_of_a_whole_runtime(real: &mut Vec<String>) {
    let pool = at("redis://localhost").build().unwrap();
    let mut call = pin!(get(&pool, LONG));
    let Poll::Ready(error) = call.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
        panic!("a call outside a runtime waits")
    };
    real.push(error);
    let bare = tokio::runtime::Builder::new_current_thread().build().unwrap();
    real.push(bare.block_on(get(&pool, LONG)));
}

fn sources(folder: &Path) -> String {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .map(|path| if path.is_dir() { sources(&path) } else { fs::read_to_string(&path).unwrap() })
        .collect()
}

#[test]
fn each_message_that_the_table_quotes_is_one_that_a_pool_gives() {
    let mut real = Vec::new();
    outside_of_a_whole_runtime(&mut real);
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        at_the_door(&mut real).await;
        over_tls(&mut real).await;
        at_the_sentinels(&mut real).await;
        on_the_way(&mut real).await;
        beside_redis(&mut real).await;
    });
    let source = sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../pool-core/src"));
    let shapes: Vec<_> = real.iter().map(|message| shape(message)).collect();
    let quoted = quoted();
    assert!(quoted.len() > 20, "{quoted:?}");
    for quote in quoted {
        let in_source = IN_SOURCE.iter().any(|part| quote.starts_with(part) && source.contains(part));
        let is_real = shapes.iter().any(|message| message.contains(&shape(quote)));
        assert!(is_real || in_source, "no error says {quote:?}; the errors are\n{}", real.join("\n"));
    }
}

#[test]
fn the_sample_report_has_the_fields_of_a_real_one_in_its_order() {
    let (_, sample) = PAGE.split_once("```json\n").expect("the sample");
    let sample = sample.split("```").next().unwrap_or_default();
    let report = serde_json::to_string(&Pool::embedded(FallbackLru::default()).status()).unwrap();
    assert_eq!(names(sample), names(&report));
}

/// What stands before a colon, in quotation marks.
fn names(json: &str) -> Vec<&str> {
    let parts: Vec<_> = json.split('"').collect();
    let pairs = parts.windows(2).skip(1).step_by(2);
    pairs.filter(|pair| pair[1].starts_with(':')).map(|pair| pair[0]).collect()
}
