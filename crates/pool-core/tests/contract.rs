//! The contract suite, mounted on every way a pool can reach a server.

use std::sync::LazyLock;

use cenote_pool_core::{Conn, Pool};
use cenote_testkit::{Server, contract};

static SERVER: LazyLock<Server> = LazyLock::new(Server::start);
static UNIX: LazyLock<Server> = LazyLock::new(|| Server::builder().unix_socket().start());

// Each check runs on a runtime of its own: every one of these pools lives through dozens of them.
static RESP3: LazyLock<Pool> = LazyLock::new(|| pool(SERVER.url()));
static RESP2: LazyLock<Pool> = LazyLock::new(|| pool(format!("{}?protocol=resp2", SERVER.url())));
static SOCKET: LazyLock<Pool> = LazyLock::new(|| pool(UNIX.url()));

fn pool(url: String) -> Pool {
    Pool::builder().url(url).build().unwrap()
}

async fn resp3() -> Conn {
    RESP3.conn()
}

async fn resp2() -> Conn {
    RESP2.conn()
}

async fn unix_socket() -> Conn {
    SOCKET.conn()
}

contract!(over_resp3, resp3);
contract!(over_resp2, resp2);
contract!(over_a_unix_socket, unix_socket);
