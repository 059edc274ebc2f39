//! The server, over a socket: what it answers, what it refuses, and that it outlives its directory.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use torrens::metrics::{Metric, TOOL};

use super::fixture::{Closed, Store, contents, run, torrens};
use super::prometheus::{Series, parse};

/// A server, ended with the test.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the server answered.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Server {
    pub(crate) fn of(dir: &Path, args: &[&str]) -> Server {
        let mut child = torrens(dir, "serve")
            .args(["--refresh", "1"])
            .args(if args.contains(&"--listen") {
                &[][..]
            } else {
                &["--listen", "127.0.0.1:0"]
            })
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        out.read_line(&mut line).unwrap();
        let address = line
            .split("http://")
            .nth(1)
            .unwrap_or_else(|| panic!("{line}"));
        let address = address.split('/').next().unwrap().parse().unwrap();
        Server { child, address }
    }

    /// Sends `bytes` as they are and reads to the end.
    fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(60)))
            .unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    }

    fn ask(&self, method: &str, path: &str, host: &str) -> Answer {
        let answer =
            self.raw(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer {
            status,
            head: head.to_owned(),
            body: body.to_owned(),
        }
    }

    fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &self.address.to_string())
    }

    fn metrics(&self) -> Vec<Series> {
        let answer = self.get("/metrics");
        assert_eq!(answer.status, 200);
        let kind = "content-type: text/plain; version=0.0.4; charset=utf-8";
        assert!(answer.head.to_lowercase().contains(kind), "{}", answer.head);
        parse(&answer.body)
    }

    /// Asks until the number is there: a look is shown for a second.
    fn wait_for(&self, name: &str, label: &str, value: f64) {
        let began = Instant::now();
        while number(&self.metrics(), name, label) != Some(value) {
            assert!(
                began.elapsed() < Duration::from_secs(60),
                "{name} {label} is not {value}: {:?}",
                self.metrics()
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

/// The value of a series; `label` is the value of its label, empty if it has none.
fn number(series: &[Series], name: &str, label: &str) -> Option<f64> {
    let mut found = series.iter().filter(|one| {
        one.name == name && one.labels.first().map_or("", |(_, value)| value.as_str()) == label
    });
    found.next().map(|one| one.value)
}

pub(crate) fn store() -> Closed {
    let store = Store::with_history();
    store.checkpoint();
    store.close()
}

#[test]
fn the_page_its_data_and_the_numbers_are_what_the_report_says() {
    let store = store();
    let before = contents(store.path());
    let server = Server::of(store.path(), &[]);
    let page = server.get("/");
    assert_eq!(page.status, 200);
    assert!(page.body.contains("data-live=\"yes\"") && page.body.contains("connect-src 'self'"));
    let length = format!("content-length: {}", page.body.len());
    assert!(page.head.to_lowercase().contains(&length), "{}", page.head);
    for header in ["nosniff", "no-store", "same-origin", "DENY"] {
        assert!(page.head.contains(header), "{}", page.head);
    }
    assert!(!page.head.to_lowercase().contains("access-control"));
    let data: Value = serde_json::from_str(&server.get("/report.json?now").body).unwrap();
    assert_eq!(
        (&data["last_lsn"], &data["verdict"]["name"]),
        (&9.into(), &"clean".into())
    );

    let metrics = server.metrics();
    for (name, label, value) in [
        ("torrens_up", "", 1.0),
        ("torrens_verdict", "clean", 1.0),
        ("torrens_verdict", "torn-tail", 0.0),
        ("torrens_writer_open", "", 0.0),
        ("torrens_boots_total", "", 1.0),
        ("torrens_journal_records", "", 9.0),
        ("torrens_journal_last_lsn", "", 9.0),
        ("torrens_journal_kind_records", "region.split", 1.0),
        ("torrens_journal_kind_records", "other", 0.0),
        ("torrens_replay_records", "", 0.0),
        ("torrens_regions", "normal", 1.0),
        ("torrens_regions", "damaged", 0.0),
        ("torrens_caches", "active", 1.0),
        (
            "torrens_checkpoint_timestamp_seconds",
            "",
            1_773_480_067.114,
        ),
        ("torrens_http_responses_total", "200", 2.0),
    ] {
        assert_eq!(number(&metrics, name, label), Some(value), "{name} {label}");
    }
    let labels: Vec<&str> = metrics
        .iter()
        .flat_map(|one| one.labels.iter().map(|(name, _)| name.as_str()))
        .collect();
    let known = ["version", "status", "verdict", "kind", "stage", "state"];
    assert!(
        labels.iter().all(|label| known.contains(label)),
        "{labels:?}"
    );
    assert_eq!(contents(store.path()), before);
}

#[test]
fn every_number_of_the_list_is_given_with_its_kind_and_meaning_and_no_other() {
    let store = store();
    let server = Server::of(store.path(), &[]);
    let _ = server.get("/");
    let shown = server.get("/metrics").body;
    let head = |line: &str| line.starts_with("# ").then(|| line.to_owned());
    let mut given: Vec<String> = shown.lines().filter_map(head).collect();
    let heads = |metric: &Metric| {
        let (name, kind, meaning) = (metric.name, metric.kind.name(), metric.meaning);
        [
            format!("# HELP {name} {meaning}"),
            format!("# TYPE {name} {kind}"),
        ]
    };
    let mut listed: Vec<String> = TOOL.iter().flat_map(heads).collect();
    given.sort();
    listed.sort();
    assert_eq!(given, listed);
    // They depend on the machine.
    let timed = [
        "torrens_look_duration_seconds ",
        "torrens_look_age_seconds ",
        "torrens_looks_total ",
    ];
    let lines =
        shown.lines().map(
            |line| match timed.iter().find(|name| line.starts_with(**name)) {
                Some(name) => format!("{name}1\n"),
                None => format!("{line}\n"),
            },
        );
    super::golden("serve-metrics.txt", &lines.collect::<String>());
}

#[test]
fn the_guide_shows_what_the_server_says_when_it_begins() {
    let stores = super::market::Stores::new();
    let mut child = stores
        .command(&["serve", "market", "--listen", "127.0.0.1:0"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let read = BufReader::new(child.stdout.take().unwrap()).read_line(&mut line);
    let _ = child.kill();
    let _ = child.wait();
    read.unwrap();
    let port = line.split("127.0.0.1:").nth(1).unwrap();
    let port = port.split('/').next().unwrap().to_owned();
    let shown = format!(
        "```text\n$ torrens serve market\n{}```",
        line.replace(&port, "9464")
    );
    let guide = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/OPERATIONS.md");
    let guide = fs::read_to_string(guide).unwrap();
    assert!(guide.contains(&shown), "{shown}");
}

#[test]
fn only_reading_under_a_name_that_is_its_own_is_answered() {
    let store = store();
    let server = Server::of(store.path(), &["--allow-host", "store4.example"]);
    let head = server.ask("HEAD", "/report.json", "localhost");
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    assert!(!head.head.contains("Content-Length: 0\r\n"));
    for (method, path, host, status) in [
        ("GET", "/", "localhost:1234", 200),
        ("GET", "/", "store4.example", 200),
        ("GET", "/", "evil.example", 421),
        ("GET", "/metrics", "127.0.0.1.evil.example", 421),
        ("POST", "/", "localhost", 405),
        ("DELETE", "/", "localhost", 405),
        ("OPTIONS", "/", "localhost", 405),
        ("GET", "/../../etc/passwd", "localhost", 404),
        ("GET", "/LOCK", "localhost", 404),
    ] {
        let answer = server.ask(method, path, host);
        assert_eq!(answer.status, status, "{method} {path} {host}");
        assert!(status == 200 || answer.body.len() < 100, "{}", answer.body);
    }
    assert!(server.raw(b"nonsense\r\n\r\n").starts_with("HTTP/1.1 400 "));
    assert!(
        server
            .raw(b"GET / HTTP/1.1\r\n\r\n")
            .starts_with("HTTP/1.1 400 ")
    );
    let endless = format!(
        "GET / HTTP/1.1\r\nHost: localhost\r\nA: {}",
        "a".repeat(17 * 1024)
    );
    assert!(server.raw(endless.as_bytes()).starts_with("HTTP/1.1 431 "));
}

#[test]
fn more_silent_clients_than_threads_keep_nobody_out_for_longer_than_they_may_be_silent() {
    let store = store();
    let server = Server::of(store.path(), &[]);
    let silent: Vec<TcpStream> = (0..12)
        .map(|_| TcpStream::connect(server.address).unwrap())
        .collect();
    assert_eq!(server.get("/metrics").status, 200);
    drop(silent);
}

#[test]
fn the_server_outlives_a_directory_that_grows_is_damaged_vanishes_and_comes_back() {
    let place = tempfile::tempdir().unwrap();
    let dir = place.path().join("store");
    // Before there is a store.
    let server = Server::of(&dir, &[]);
    server.wait_for("torrens_up", "", 0.0);
    let page = server.get("/");
    assert_eq!(page.status, 503);
    for unfilled in ["@CODE@", "@MESSAGE@", "@HINT@", "@NONCE@"] {
        assert!(page.body.contains("missing") && !page.body.contains(unfilled));
    }
    let why: Value = serde_json::from_str(&server.get("/report.json").body).unwrap();
    assert_eq!(why["error"]["code"], "missing");

    let store = store();
    fs::rename(store.path(), &dir).unwrap();
    server.wait_for("torrens_verdict", "clean", 1.0);
    let segment = dir.join("journal/00000000000000000001.seg");
    let whole = fs::read(&segment).unwrap();
    let mut damaged = whole.clone();
    damaged[8192 + 4 * 4096 + 80] ^= 1;
    fs::write(&segment, &damaged).unwrap();
    server.wait_for("torrens_verdict", "corrupt-mid-log", 1.0);
    assert_eq!(server.get("/").status, 200);
    fs::write(&segment, b"nothing of a segment").unwrap();
    server.wait_for("torrens_verdict", "clean", 0.0);
    fs::write(&segment, &whole).unwrap();
    server.wait_for("torrens_verdict", "clean", 1.0);
    let away = place.path().join("away");
    fs::rename(&dir, &away).unwrap();
    server.wait_for("torrens_up", "", 0.0);
    fs::rename(&away, &dir).unwrap();
    server.wait_for("torrens_up", "", 1.0);
    fs::rename(&dir, store.path()).unwrap();
}

#[test]
fn other_machines_are_let_in_only_if_that_is_said() {
    let store = store();
    let answer = run(store.path(), "serve", &["--listen", "0.0.0.0:0"]);
    assert_eq!(answer.code, 2);
    assert!(
        answer.err.contains("error[other-machines]"),
        "{}",
        answer.err
    );
    let listen = ["--listen", "0.0.0.0:0", "--allow-other-machines"];
    let mut server = Server::of(store.path(), &listen);
    server.address.set_ip([127, 0, 0, 1].into());
    assert_eq!(server.ask("GET", "/metrics", "10.0.0.7:1").status, 200);
    assert_eq!(server.ask("GET", "/metrics", "evil.example").status, 421);
}

#[test]
fn ctrl_c_ends_the_server_and_a_taken_port_is_said() {
    let store = store();
    let mut server = Server::of(store.path(), &[]);
    let taken = run(
        store.path(),
        "serve",
        &["--listen", &server.address.to_string()],
    );
    assert_eq!(taken.code, 8, "{}", taken.err);
    assert!(taken.err.contains("error[listen]"), "{}", taken.err);
    let pid = rustix::process::Pid::from_child(&server.child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(server.child.wait().unwrap().code(), Some(130));
}
