//! One place opens connections, and no library blocks a thread.

use super::Finding;
use super::files::File;
use super::source::{Strings, code};

/// Calls by which a connection comes to be.
const CONSTRUCTORS: &[&str] = &[
    "TcpStream::connect",
    "UnixStream::connect",
    "TcpSocket::new_v4",
    "TcpSocket::new_v6",
    "UnixSocket::new",
    "Socket::new",
    "Client::open",
    "Client::build_with_tls",
    "ClusterClient::new",
    "ClusterClientBuilder::new",
    "SentinelClient::build",
    "ConnectionManager::new",
    "get_multiplexed_async_connection",
    "get_multiplexed_tokio_connection",
    "get_connection_manager",
    "get_async_pubsub",
];

const DIAL: &str = "crates/pool-core/src/dial";

pub(super) fn only_dialled_by_the_core<'a>(files: impl IntoIterator<Item = &'a File>) -> Vec<Finding> {
    let files = files.into_iter().filter(|file| file.is_product());
    let others = files.filter(|file| !file.is_below(DIAL) && file.path != format!("{DIAL}.rs"));
    others
        .flat_map(|file| {
            find(file, CONSTRUCTORS, |word| {
                format!("`{word}` opens a connection; only {DIAL}/ does that: use the Pool")
            })
        })
        .collect()
}

pub(super) fn nothing_blocks(files: &[File]) -> Vec<Finding> {
    let is_library = |file: &&File| {
        let lib = file.crate_folder().map(|folder| format!("crates/{folder}/src/lib.rs"));
        file.is_product() && files.iter().any(|other| Some(&other.path) == lib.as_ref())
    };
    files
        .iter()
        .filter(is_library)
        .flat_map(|file| {
            find(file, &["block_on"], |word| {
                format!("`{word}` blocks a thread; a library is awaited, or runs the work on a task")
            })
        })
        .collect()
}

fn find(file: &File, words: &[&str], message: impl Fn(&str) -> String) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (index, line) in code(&file.text, Strings::Blank).lines().enumerate() {
        for word in words.iter().filter(|word| calls(line, word)) {
            findings.push(Finding::new(file, index + 1, message(word)));
        }
    }
    findings
}

/// Whether `word` is in `line` and not only the end of a longer name.
fn calls(line: &str, word: &str) -> bool {
    line.match_indices(word).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(|before| before.is_alphanumeric() || before == '_')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_opened_elsewhere_is_found() {
        let bad = File::new(
            "crates/cache/src/lib.rs",
            "// Client::open\nfn f() {\n    redis::Client::open(url);\n}\n#[cfg(test)]\nmod t {\n TcpStream::connect(a); }\n",
        );
        let findings = only_dialled_by_the_core([&bad]);
        assert_eq!(findings.len(), 1);
        assert_eq!((findings[0].line, findings[0].message.contains("`Client::open`")), (3, true));
        let service = File::new("examples/service/src/main.rs", "tokio::net::TcpStream::connect(a).await");
        assert_eq!(only_dialled_by_the_core([&service]).len(), 1);
    }

    #[test]
    fn the_dialler_tests_and_the_kit_may_open_connections() {
        for path in [
            "crates/pool-core/src/dial/tcp.rs",
            "crates/pool-core/src/dial.rs",
            "crates/testkit/src/server/probe.rs",
            "crates/pool-core/tests/pool.rs",
            "crates/pool-core/src/lane/tests.rs",
        ] {
            assert_eq!(only_dialled_by_the_core([&File::new(path, "TcpStream::connect(a)")]), [], "{path}");
        }
        let harmless =
            File::new("crates/cli/src/audit.rs", "f(\"Client::open\"); WebSocket::new(); MyClient::open();");
        assert_eq!(only_dialled_by_the_core([&harmless]), []);
    }

    #[test]
    fn a_library_that_blocks_is_found() {
        let lib = File::new("crates/cache/src/lib.rs", "mod a;");
        let bad = File::new("crates/cache/src/a.rs", "fn f() { handle.block_on(g()) }");
        let tool = File::new("crates/cli/src/main.rs", "fn main() { runtime.block_on(g()) }");
        let findings = nothing_blocks(&[lib, bad, tool]);
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].file, "crates/cache/src/a.rs");
    }
}
