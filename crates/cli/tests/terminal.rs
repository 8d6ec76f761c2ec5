//! `cenote watch` in a pseudo-terminal: what a person sees.
#![cfg(unix)]

mod common;

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use cenote_testkit::{Server, eventually};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use common::{Running, SOON, Text, assert_plain, cenote, progress};

const ROWS: u16 = 20;
const COLUMNS: u16 = 100;

/// Both of its outputs go to a terminal of this size.
fn in_terminal(command: &mut Command) -> Running {
    let master = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&master).unwrap();
    unlockpt(&master).unwrap();
    let name = ptsname(&master, Vec::new()).unwrap();
    tcsetwinsize(&master, Winsize { ws_row: ROWS, ws_col: COLUMNS, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
    let terminal = File::options().read(true).write(true).open(OsStr::from_bytes(name.to_bytes())).unwrap();
    command.stdin(terminal.try_clone().unwrap()).stdout(terminal.try_clone().unwrap()).stderr(terminal);
    let child = command.spawn().unwrap();
    // This process has the terminal no longer, so its end is the command's.
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    Running { child, out: Text::of(File::from(master)), err: Text::of(std::io::empty()) }
}

fn screen(text: &Text) -> String {
    let mut parser = vt100::Parser::new(ROWS, COLUMNS, 0);
    parser.process(&text.bytes());
    let rows: Vec<_> = parser.screen().rows(0, COLUMNS).map(|row| row.trim_end().to_owned()).collect();
    rows.join("\n").trim_end().to_owned()
}

#[track_caller]
fn shows(running: &Running, parts: &[&str]) -> String {
    let mut last = String::new();
    let give_up = Instant::now() + SOON;
    loop {
        let now = screen(&running.out);
        if parts.iter().all(|part| now.contains(part)) {
            return now;
        }
        assert!(Instant::now() < give_up, "{parts:?} are not all on\n{now}\nbefore:\n{last}");
        last = now;
        thread::sleep(Duration::from_millis(5));
    }
}

async fn one_job(server: &Server, command: &mut Command) -> (String, String, Option<i32>) {
    let progress = progress(server);
    let job = progress.start("import-42").await.unwrap();
    let (files, index) = (job.child("files"), job.child("index"));
    files.total(4).unit("files").set(1);
    index.weight(3.0).total(100);
    job.phase("reading");
    job.message("b.csv");
    let mut running = in_terminal(command);
    let during =
        shows(&running, &["import-42", "files", "1/4 files", "reading: b.csv", "6 %", "phase: reading"]);
    job.warn("a row is bad");
    index.finish();
    shows(&running, &["import-42: warning: a row is bad", "81 %"]);
    let _ = job.finish("7 rows").await.unwrap();
    let mut code = None;
    eventually(SOON, "the end", || {
        code = running.child.try_wait().unwrap();
        code.is_some()
    });
    running.out.whole();
    let after = screen(&running.out);
    assert!(after.contains("import-42: finished after ") && after.contains(": 7 rows"), "{after}");
    (during, after, code.unwrap().code())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_has_a_bar_for_the_job_and_its_children_lines_above_them_and_none_left_in_the_end() {
    let server = Server::start();
    let (during, after, code) =
        one_job(&server, &mut cenote(&["watch", "--url", &server.url(), "import-42"])).await;
    assert_eq!(code, Some(0));
    assert!(during.contains('━'), "{during}");
    assert!(!after.contains('━') && !after.contains("1/4 files"), "{after}");
    let lines: Vec<_> = after.lines().collect();
    assert_eq!(lines[..2], ["import-42: phase: reading", "import-42: warning: a row is bad"], "{after}");
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_are_shown_on_a_terminal_and_not_with_no_color() {
    let server = Server::start();
    let job = progress(&server).start("job").await.unwrap();
    let _ = job.finish("all").await.unwrap();
    let colours = |command: &mut Command| {
        let running = in_terminal(command);
        let text = running.out.whole();
        assert!(text.contains("finished after"), "{text}");
        text.contains("\u{1b}[32m")
    };
    let url = server.url();
    assert!(colours(&mut cenote(&["watch", "--url", &url, "job"])));
    assert!(!colours(cenote(&["watch", "--url", &url, "job"]).env("NO_COLOR", "1")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dumb_terminal_is_told_in_plain_lines() {
    let server = Server::start();
    let job = progress(&server).start("job").await.unwrap();
    job.log("a line");
    let _ = job.finish("all").await.unwrap();
    let running = in_terminal(cenote(&["watch", "--url", &server.url(), "job"]).env("TERM", "dumb"));
    let text = running.out.whole().replace("\r\n", "\n");
    assert_plain(&text);
    assert!(text.contains("job: a line\n") && text.contains("job: finished after "), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_leaves_no_bar_behind() {
    use rustix::process::{Pid, Signal, kill_process};

    let server = Server::start();
    let job = progress(&server).start("job").await.unwrap();
    job.message("reading");
    let mut running = in_terminal(&mut cenote(&["watch", "--url", &server.url(), "job"]));
    shows(&running, &["reading"]);
    kill_process(Pid::from_child(&running.child), Signal::INT).unwrap();
    running.out.whole();
    assert_eq!(running.child.wait().unwrap().code(), Some(130));
    let text = screen(&running.out);
    assert_eq!(text.trim(), "no longer watching: the jobs go on", "{text}");
}
