//! Whom a request is charged to, as Redis knows it.

use std::net::SocketAddr;

use axum::extract::ConnectInfo;
use cenote_pool_core::redis;
use cenote_ratelimit::Quota;
use cenote_ratelimit::tower::{
    Header, KeyError, KeyExtractor, PeerAddr, RateLimitLayer, TrustedProxies, from_fn,
};
use cenote_testkit::{Log, Server};
use tokio::net::TcpListener;

use crate::common::{limiter, pool};
use crate::http::{Response, get_from, get_root, limited, peer, routes};

/// A limited server, and the Redis that it counts in.
struct Counted {
    redis: Server,
    addr: SocketAddr,
}

impl Counted {
    async fn by(keys: impl KeyExtractor) -> Self {
        let redis = Server::start();
        let limiter = limiter(&pool(redis.url()), "api", Quota::per_hour(1_000));
        Self { redis, addr: limited(RateLimitLayer::new(limiter, keys)).await }
    }

    /// What the request was charged to, of Redis that is empty before.
    async fn subject(&self, headers: &[(&str, &[u8])]) -> String {
        let () = self.redis.observer().get(&["FLUSHALL"]);
        let response = get_from(self.addr, "/", headers).await;
        assert_eq!((response.status, response.body.as_str()), (200, "Redis"), "{headers:?}");
        let keys: Vec<String> = self.redis.observer().get(&["KEYS", "*"]);
        let [key] = &keys[..] else { panic!("{keys:?}") };
        let subject = key.strip_prefix("ratelimit:1:api:{").and_then(|rest| rest.strip_suffix("}:default"));
        subject.unwrap_or_else(|| panic!("{key}")).to_owned()
    }

    async fn forwarded_for(&self, value: &str) -> String {
        self.subject(&[("X-Forwarded-For", value.as_bytes())]).await
    }
}

fn left(response: &Response) -> &str {
    let limit = response.header("ratelimit");
    limit.split([';', ',']).find_map(|part| part.strip_prefix("r=")).unwrap_or_else(|| panic!("{response:?}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_proxies_no_header_is_believed() {
    for keys in [
        TrustedProxies::x_forwarded_for(peer(), ["10.0.0.0/8"]),
        TrustedProxies::x_forwarded_for(peer(), [""; 0]),
    ] {
        let counted = Counted::by(keys.unwrap()).await;
        assert_eq!(counted.subject(&[]).await, "127.0.0.1");
        assert_eq!(counted.forwarded_for("1.1.1.1").await, "127.0.0.1");
        assert_eq!(counted.forwarded_for("1.1.1.1, 10.0.0.1").await, "127.0.0.1");
    }
    let counted = Counted::by(peer()).await;
    let spoofed: [(&str, &[u8]); 3] =
        [("X-Forwarded-For", b"1.1.1.1"), ("Forwarded", b"for=1.1.1.1"), ("X-Real-IP", b"1.1.1.1")];
    assert_eq!(counted.subject(&spoofed).await, "127.0.0.1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_trusted_proxies_the_key_is_the_rightmost_hop_that_is_none_of_them() {
    let keys = TrustedProxies::x_forwarded_for(peer(), ["127.0.0.0/8", "10.0.0.0/8", "fd00::/8"]).unwrap();
    let counted = Counted::by(keys).await;
    for (value, expected) in [
        ("192.0.2.1", "192.0.2.1"),
        ("1.1.1.1, 192.0.2.1", "192.0.2.1"),
        ("10.0.0.9, 127.0.0.1, 192.0.2.1", "192.0.2.1"),
        ("1.1.1.1, 2.2.2.2, 192.0.2.1:4711, 10.0.0.3, [fd00::3]:80", "192.0.2.1"),
        ("garbage\", ,;=[, 192.0.2.1", "192.0.2.1"),
        ("1.1.1.1, ::ffff:192.0.2.1, ::ffff:10.0.0.3", "192.0.2.1"),
        // Whatever stands left of what is no address is not believed.
        ("1.1.1.1, unknown", "127.0.0.1"),
        ("1.1.1.1, 192.0.2.1.5, 10.0.0.3", "127.0.0.1"),
        ("1.1.1.1, , 10.0.0.3", "127.0.0.1"),
        ("1.1.1.1,", "127.0.0.1"),
        ("", "127.0.0.1"),
        // All are proxies of ours.
        ("10.0.0.3, 10.0.0.4", "127.0.0.1"),
        // IPv6: by its /64, without the zone.
        ("1.1.1.1, 2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("1.1.1.1, [2001:db8:1:2::9]:443", "2001:db8:1:2::/64"),
        ("1.1.1.1, fe80::1%eth0", "fe80::/64"),
        ("1.1.1.1, [fe80::2%25wlan0]:443, 10.0.0.3", "fe80::/64"),
        ("2001:db8::1, fd00::7%eth0", "2001:db8::/64"),
        ("1.1.1.1, fe80::1%", "127.0.0.1"),
    ] {
        assert_eq!(counted.forwarded_for(value).await, expected, "{value:?}");
    }
    let many = format!("{}192.0.2.1", "1.1.1.1, ".repeat(500));
    assert_eq!(counted.forwarded_for(&many).await, "192.0.2.1");
    let many = format!("192.0.2.1{}", ", 10.0.0.1".repeat(500));
    assert_eq!(counted.forwarded_for(&many).await, "127.0.0.1", "nobody has so many proxies");
    let lines: [(&str, &[u8]); 3] = [
        ("X-Forwarded-For", b"\xff, 1.1.1.1"),
        ("x-forwarded-for", b"\xfe, 192.0.2.1"),
        ("X-FORWARDED-FOR", b"10.0.0.3"),
    ];
    assert_eq!(counted.subject(&lines).await, "192.0.2.1", "several lines are one list");
    assert_eq!(counted.subject(&[("Forwarded", b"for=1.1.1.1")]).await, "127.0.0.1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_proxies_that_write_forwarded_it_is_that_which_counts() {
    let counted = Counted::by(TrustedProxies::forwarded(peer(), ["127.0.0.1", "10.0.0.0/8"]).unwrap()).await;
    for (value, expected) in [
        ("for=1.1.1.1, for=192.0.2.1;proto=https;by=10.0.0.1, For=\"10.0.0.2:80\"", "192.0.2.1"),
        ("for=\"1.1.1.1, FOR=\"[2001:db8:1:2::3]:4711\";host=\"a,b\"", "2001:db8:1:2::/64"),
        ("for=1.1.1.1, for=unknown", "127.0.0.1"),
        ("for=1.1.1.1, for=\"_hidden:_port\", for=10.0.0.2", "127.0.0.1"),
        ("for=1.1.1.1, proto=https", "127.0.0.1"),
    ] {
        assert_eq!(counted.subject(&[("Forwarded", value.as_bytes())]).await, expected, "{value:?}");
    }
    assert_eq!(counted.forwarded_for("1.1.1.1").await, "127.0.0.1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_has_a_network_of_ipv6_has_one_quota() {
    let redis = Server::start();
    let limiter = limiter(&pool(redis.url()), "api", Quota::per_hour(2));
    let keys = TrustedProxies::x_forwarded_for(peer().ipv6_bits(56), ["127.0.0.1"]).unwrap();
    let addr = limited(RateLimitLayer::new(limiter, keys)).await;
    let ask = |value: &'static str| async move {
        get_from(addr, "/", &[("x-forwarded-for", value.as_bytes())]).await
    };
    assert_eq!(left(&ask("2001:db8:1:100::1").await), "1");
    assert_eq!(left(&ask("2001:db8:1:1ff:ffff::2").await), "0");
    assert_eq!(ask("2001:db8:1:180::3").await.status, 429);
    assert_eq!(left(&ask("2001:db8:1:200::1").await), "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_header_is_a_key_if_it_is_there_just_once() {
    let counted = Counted::by(Header::new("x-key".parse().unwrap())).await;
    assert_eq!(counted.subject(&[("X-Key", b"ada")]).await, "ada");
    let () = counted.redis.observer().get(&["FLUSHALL"]);
    let several: [&[(&str, &[u8])]; 4] =
        [&[], &[("x-key", b"")], &[("x-key", b"ada"), ("x-key", b"bob")], &[("x-key", b"\xff")]];
    for headers in several {
        let refused = get_from(counted.addr, "/", headers).await;
        assert_eq!(refused.status, 400);
        assert!(refused.json()["detail"].as_str().unwrap().contains("x-key"), "{refused:?}");
    }
    let keys: Vec<String> = counted.redis.observer().get(&["KEYS", "*"]);
    assert!(keys.is_empty(), "{keys:?}");

    let counted = Counted::by(Header::new("x-key".parse().unwrap()).hashed()).await;
    let [ada, bob] =
        [counted.subject(&[("x-key", b"ada")]).await, counted.subject(&[("x-key", b"bob\xff")]).await];
    assert!(ada.len() == 32 && bob.len() == 32 && ada != bob, "{ada} {bob}");
    assert_eq!(counted.subject(&[("x-key", b"ada")]).await, ada);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_of_ones_own_may_be_waited_for() {
    let tenants = Server::start();
    let () = tenants.observer().get(&["HSET", "tenant", "token-1", "acme", "token-2", "acme"]);
    let tenants_pool = pool(tenants.url());
    let counted = Counted::by(from_fn(move |request| {
        let token = request.headers.get("x-token").cloned();
        let mut conn = tenants_pool.conn();
        async move {
            let token = token.ok_or_else(|| KeyError::missing("a token is needed"))?;
            let tenant = redis::cmd("HGET").arg("tenant").arg(token.as_bytes()).query_async(&mut conn).await;
            let tenant: Option<String> = tenant.map_err(|error| KeyError::setup(error.to_string()))?;
            tenant.ok_or_else(|| KeyError::missing("nobody has this token"))
        }
    }))
    .await;
    assert_eq!(counted.subject(&[("x-token", b"token-1")]).await, "acme");
    assert_eq!(counted.subject(&[("x-token", b"token-2")]).await, "acme");
    let refused = get_from(counted.addr, "/", &[("x-token", b"token-3")]).await;
    assert_eq!((refused.status, refused.json()["detail"].as_str()), (400, Some("nobody has this token")));
    assert_eq!(get_root(counted.addr).await.status, 400);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_servers_extension_the_log_says_which_is_missing() {
    let log = Log::capture();
    let redis = Server::start();
    let limiter = limiter(&pool(redis.url()), "api", Quota::per_hour(10));
    let keys = PeerAddr::new(|info: &ConnectInfo<SocketAddr>| info.ip());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let routes = routes().layer(RateLimitLayer::new(limiter, keys));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let failed = get_root(addr).await;
    assert_eq!(failed.status, 500);
    assert!(!failed.body.contains("ConnectInfo"), "{failed:?}");
    let text = log.text();
    assert!(text.contains("ConnectInfo") && text.contains("into_make_service_with_connect_info"), "{text}");
}
