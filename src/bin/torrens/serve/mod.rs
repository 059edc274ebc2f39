//! `torrens serve`: the report, kept fresh, and numbers for Prometheus, for a browser on this machine.
//!
//! * `request`: what a client may ask. * `looks`: looks at the directory. * `metrics`: the numbers.
//!
//! Here: the threads, and which answer belongs to which path. A fixed number of threads answers one
//! request for each connection; others wait in the kernel's queue. Nothing that a client sends reaches the
//! directory.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use clap::Parser;
use parking_lot::Mutex;

use crate::exit::{Exit, Failure, chain};
use crate::interrupt;
use crate::output::Out;
use crate::render::printable;
use crate::report;
use crate::view::{Keys, Target};
use looks::Looks;
use request::{Hosts, Refused, Request};

mod looks;
mod metrics;
mod request;

/// Requests that are answered at the same time.
const THREADS: usize = 8;
/// How long a client may take to send its request.
const REQUEST_MAX: Duration = Duration::from_secs(5);
/// How long it may take to receive its answer.
const ANSWER_MAX: Duration = Duration::from_secs(10);
/// Bytes that a client may have sent behind its request before the connection is cut.
const LEFTOVERS_MAX_BYTES: usize = 64 * 1024;

/// Show the report in a browser, kept fresh, and numbers for Prometheus: only on this machine unless you say
/// otherwise; the directory is only read.
#[derive(Debug, Parser)]
#[command(
    after_help = "Paths: / is the page, /report.json is what it draws, /metrics is for Prometheus. There is no \
password and no encryption: whoever reaches the address reads keys and all. --keys redact hides keys. \
Exit codes: 8 the address cannot be listened on; 130 after Ctrl-C."
)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// Address and port; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9464")]
    listen: SocketAddr,
    /// Allow an address that other machines reach
    #[arg(long)]
    allow_other_machines: bool,
    /// A name that clients may call this server by, beside localhost and addresses
    #[arg(long, value_name = "NAME")]
    allow_host: Vec<String>,
    /// How old a look at the directory may be before it is taken again, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=3600))]
    refresh: u64,
    /// Keys; `redact` shows a token instead, the same one for the same key
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Keys::Auto)]
    keys: Keys,
    /// With --keys redact: the same secret gives the same tokens another time [default: $TORRENS_REDACT_WITH, or random]
    #[arg(long, value_name = "SECRET", requires = "keys")]
    redact_with: Option<String>,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    match serve(&args) {
        Ok(exit) => exit,
        Err(failure) => failure.report(),
    }
}

struct Server {
    looks: Looks,
    hosts: Hosts,
    /// Answers by status.
    responses: Mutex<BTreeMap<u16, u64>>,
}

fn serve(args: &Args) -> Result<Exit, Failure> {
    if !args.listen.ip().is_loopback() && !args.allow_other_machines {
        return Err(Failure {
            code: "other-machines",
            message: format!(
                "{} is reached by other machines, and there is no password",
                args.listen
            ),
            hint: Some("--allow-other-machines says that this is meant".to_owned()),
            exit: Exit::USAGE,
        });
    }
    let cannot_listen = |error: io::Error| Failure {
        code: "listen",
        message: format!("cannot listen on {}: {}", args.listen, chain(&error)),
        hint: Some("--listen 127.0.0.1:0 takes a free port".to_owned()),
        exit: Exit::UNREADABLE,
    };
    let listener = TcpListener::bind(args.listen).map_err(cannot_listen)?;
    let address = listener.local_addr().map_err(cannot_listen)?;
    let keys = args.keys.form(args.redact_with.as_deref());
    let path = args.target.only()?;
    let server = Arc::new(Server {
        looks: Looks::new(path.clone(), keys, Duration::from_secs(args.refresh)),
        hosts: Hosts {
            listen: address.ip(),
            any_address: !address.ip().is_loopback(),
            names: args.allow_host.clone(),
        },
        responses: Mutex::default(),
    });
    let looking = Arc::clone(&server);
    thread::spawn(move || looking.looks.take_when_asked());
    for _ in 0..THREADS {
        let listener = listener.try_clone().map_err(cannot_listen)?;
        let server = Arc::clone(&server);
        thread::spawn(move || server.answer_clients(&listener));
    }
    let mut out = Out::lock();
    let written = writeln!(
        out,
        "serving {} at http://{address}/ and http://{address}/metrics until Ctrl-C",
        printable(&path.display().to_string())
    );
    let exit = out.finish(written, Exit::INTERRUPTED);
    // A store may be created later; a path that is wrong will never be.
    if let Some(Err(failure)) = server.looks.latest().as_deref().map(|taken| &taken.outcome) {
        failure.report();
    }
    while !interrupt::asked() {
        thread::sleep(Duration::from_millis(100));
    }
    Ok(exit)
}

/// A whole answer.
struct Response {
    status: (u16, &'static str),
    kind: &'static str,
    body: Vec<u8>,
}

const OK: (u16, &str) = (200, "OK");
const NOT_FOUND: (u16, &str) = (404, "Not Found");
const FAILED: (u16, &str) = (500, "Internal Server Error");
const UNAVAILABLE: (u16, &str) = (503, "Service Unavailable");
const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

impl Response {
    fn new(status: (u16, &'static str), kind: &'static str, body: impl Into<Vec<u8>>) -> Self {
        let body = body.into();
        Response { status, kind, body }
    }
}

impl Server {
    fn answer_clients(&self, listener: &TcpListener) {
        loop {
            match listener.accept() {
                Ok((stream, _)) => self.answer(&stream),
                // Out of descriptors, say: that passes, and must not burn a core.
                Err(_) => thread::sleep(Duration::from_millis(50)),
            }
        }
    }

    /// One request. A client that goes away or does not read is its own affair.
    fn answer(&self, stream: &TcpStream) {
        let mut client = Client {
            stream,
            until: Instant::now() + REQUEST_MAX,
        };
        let asked = match request::read(&mut client) {
            Ok(Some(head)) => request::parse(&head, &self.hosts),
            Ok(None) => return,
            Err(refused) => Err(refused),
        };
        let (response, is_head) = match asked {
            Ok(request) => (self.response(&request), request.is_head),
            Err(refused) => (refusal(refused), false),
        };
        *self.responses.lock().entry(response.status.0).or_default() += 1;
        client.until = Instant::now() + ANSWER_MAX;
        if send(&mut client, &response, is_head).is_ok() {
            let _ = stream.shutdown(Shutdown::Write);
            // A connection that is closed with unread bytes is reset, and the answer with it.
            client.until = Instant::now() + Duration::from_secs(1);
            let _ = io::copy(
                &mut (&mut client).take(LEFTOVERS_MAX_BYTES as u64),
                &mut io::sink(),
            );
        }
    }

    fn response(&self, request: &Request) -> Response {
        match request.path.as_str() {
            "/" | "/report.json" => self.report(request.path == "/"),
            "/metrics" => {
                let taken = self.looks.latest();
                let (looks, look_failures) = self.looks.counts();
                let responses = self.responses.lock();
                let counted = metrics::Counted {
                    looks,
                    look_failures,
                    responses: responses
                        .iter()
                        .map(|(status, count)| (*status, *count))
                        .collect(),
                };
                drop(responses);
                Response::new(OK, METRICS, metrics::text(taken.as_deref(), &counted))
            }
            _ => Response::new(NOT_FOUND, TEXT, "there is /, /report.json and /metrics\n"),
        }
    }

    fn report(&self, is_page: bool) -> Response {
        let taken = self.looks.latest();
        let waiting = || Failure {
            code: "first-look",
            message: "the first look at the directory takes long; it goes on".to_owned(),
            hint: None,
            exit: Exit::UNREADABLE,
        };
        let outcome = match &taken {
            Some(taken) => taken.outcome.as_ref().map_err(Clone::clone),
            None => Err(waiting()),
        };
        let made = match (outcome, is_page) {
            (Ok(report), true) => {
                report::page(report, report::Use::Live).map(|page| Response::new(OK, HTML, page))
            }
            (Ok(report), false) => {
                serde_json::to_vec(report).map(|json| Response::new(OK, JSON, json))
            }
            (Err(failure), true) => Ok(Response::new(
                UNAVAILABLE,
                HTML,
                report::page_without_report(&failure),
            )),
            (Err(failure), false) => {
                let error = serde_json::json!({"error": {
                    "code": failure.code, "message": failure.message, "hint": failure.hint,
                }});
                serde_json::to_vec(&error).map(|json| Response::new(UNAVAILABLE, JSON, json))
            }
        };
        made.unwrap_or_else(|error| Response::new(FAILED, TEXT, format!("{error}\n")))
    }
}

fn refusal(refused: Refused) -> Response {
    let status = refused.status();
    let why = match refused {
        Refused::Host => {
            "this server is not known by that host; torrens serve --allow-host NAME adds one\n"
        }
        Refused::Method => "only GET and HEAD\n",
        _ => status.1,
    };
    Response::new(status, TEXT, why)
}

fn send(client: &mut Client<'_>, response: &Response, is_head: bool) -> io::Result<()> {
    let (status, words) = response.status;
    let allow = match status {
        405 => "Allow: GET, HEAD\r\n",
        _ => "",
    };
    let head = format!(
        "HTTP/1.1 {status} {words}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{allow}Cache-Control: no-store\r\n\
         X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\nCross-Origin-Resource-Policy: same-origin\r\n\
         Referrer-Policy: no-referrer\r\nConnection: close\r\n\r\n",
        response.kind,
        response.body.len()
    );
    client.write_all(head.as_bytes())?;
    if !is_head {
        client.write_all(&response.body)?;
    }
    client.flush()
}

/// A connection that ends at a moment, however slowly its other side reads or writes.
struct Client<'a> {
    stream: &'a TcpStream,
    until: Instant,
}

impl Client<'_> {
    fn left(&self) -> io::Result<Option<Duration>> {
        match self.until.saturating_duration_since(Instant::now()) {
            Duration::ZERO => Err(io::ErrorKind::TimedOut.into()),
            left => Ok(Some(left)),
        }
    }
}

impl Read for Client<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        self.stream.set_read_timeout(self.left()?)?;
        let mut stream = self.stream;
        stream.read(to)
    }
}

impl Write for Client<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stream.set_write_timeout(self.left()?)?;
        let mut stream = self.stream;
        stream.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut stream = self.stream;
        stream.flush()
    }
}
