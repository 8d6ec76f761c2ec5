//! What does a reply cost to decode, by its shape and by where it is cut, and a command to encode?
//!
//! A hundred at a time, into buffers that are used again, as on a busy connection. Decoding includes giving the
//! values back to the allocator.

use cenote::redis::{Cmd, Pipeline, cmd, parse_redis_value, pipe};
use cenote_pool_core::bench;
use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion, Throughput};

const BATCH: usize = 100;

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    decode_whole(&mut criterion);
    decode_split(&mut criterion);
    encode(&mut criterion);
    criterion.final_summary();
}

/// In one piece.
fn decode_whole(criterion: &mut Criterion) {
    decode(criterion, "decode whole", |batch, _| vec![batch]);
}

/// In as many pieces as there are replies, and one more: each reply is cut in the middle.
fn decode_split(criterion: &mut Criterion) {
    decode(criterion, "decode split", |batch, reply| {
        let (head, tail) = batch.split_at(reply / 2);
        std::iter::once(head).chain(tail.chunks(reply)).collect()
    });
}

fn decode(criterion: &mut Criterion, name: &str, cut: impl Fn(&[u8], usize) -> Vec<&[u8]>) {
    let mut group = criterion.benchmark_group(name);
    group.throughput(Throughput::Elements(BATCH as u64));
    for (shape, reply) in replies() {
        let batch = reply.repeat(BATCH);
        let pieces = cut(&batch, reply.len());
        let (mut decoder, mut values) = (bench::Decoder::default(), Vec::new());
        group.bench_function(shape, |bencher| {
            bencher.iter(|| {
                values.clear();
                for piece in &pieces {
                    decoder.feed(piece, &mut values).unwrap();
                }
                values.len()
            });
        });
        // Nothing, if a filter left it out.
        let expected = vec![parse_redis_value(&reply).unwrap(); BATCH];
        assert!(values.is_empty() || values == expected, "{shape} is decoded wrongly");
    }
}

/// What a server sends for each shape.
fn replies() -> [(&'static str, Vec<u8>); 8] {
    let bulk = |bytes: usize| [format!("${bytes}\r\n").as_bytes(), &vec![b'x'; bytes], b"\r\n"].concat();
    [
        ("OK", b"+OK\r\n".to_vec()),
        ("simple string", b"+QUEUED\r\n".to_vec()),
        ("int", b":1234567\r\n".to_vec()),
        ("bulk of 100 B", bulk(100)),
        ("bulk of 10 kB", bulk(10_000)),
        ("array of 10", [b"*10\r\n".to_vec(), bulk(20).repeat(10)].concat()),
        ("map of 10", [b"%10\r\n".to_vec(), bulk(20).repeat(20)].concat()),
        ("error", b"-WRONGTYPE Operation against a key holding the wrong kind of value\r\n".to_vec()),
    ]
}

fn encode(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode");
    for (name, cmd) in commands() {
        let expected = cmd.get_packed_command().repeat(BATCH);
        write(&mut group, name, &expected, |out| (0..BATCH).for_each(|_| bench::encode(&cmd, out)));
    }
    for (name, batch) in [("pipeline of GET", gets(pipe())), ("transaction of GET", gets(atomic()))] {
        write(&mut group, name, &batch.get_packed_pipeline(), |out| bench::encode_batch(&batch, out));
    }
}

fn write(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    expected: &[u8],
    encode: impl Fn(&mut Vec<u8>),
) {
    let mut out = Vec::new();
    group.throughput(Throughput::Elements(BATCH as u64));
    group.bench_function(name, |bencher| {
        bencher.iter(|| {
            out.clear();
            encode(&mut out);
            out.len()
        });
    });
    assert!(out.is_empty() || out == expected, "{name} is encoded wrongly");
}

/// The commands that get such replies, or send such values.
fn commands() -> [(&'static str, Cmd); 6] {
    let set = |bytes: usize| Cmd::set("user:12345", vec![b'x'; bytes]);
    let fields: Vec<_> = keys(10).map(|key| (key, "v".repeat(20))).collect();
    [
        ("PING", cmd("PING")),
        ("GET", Cmd::get("user:12345")),
        ("SET of 100 B", set(100)),
        ("SET of 10 kB", set(10_000)),
        ("MGET of 10", Cmd::mget(keys(10).collect::<Vec<_>>())),
        ("HSET of 10", Cmd::hset_multiple("user:12345", &fields)),
    ]
}

fn atomic() -> Pipeline {
    let mut transaction = pipe();
    transaction.atomic();
    transaction
}

/// One call of many commands.
fn gets(mut batch: Pipeline) -> Pipeline {
    for key in keys(BATCH) {
        batch.get(key);
    }
    batch
}

fn keys(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|number| format!("user:{number:05}"))
}
