//! What a client may ask: the head of a request, read within bounds, and which host it may name.
//!
//! Not here: what it gets (`mod`). Nothing of a request but its method, its path and its `Host` is used.

use std::io::{self, Read};
use std::net::{IpAddr, Ipv6Addr};

/// Bytes that the head of a request may have.
const HEAD_MAX_BYTES: usize = 16 * 1024;
/// Header lines that it may have.
const HEADERS_MAX: usize = 64;

/// A request that may be answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Request {
    /// The path, without a query.
    pub(super) path: String,
    /// Whether only the head of the answer is wanted.
    pub(super) is_head: bool,
}

/// A request that is refused, by the status of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// No HTTP/1 request.
    Malformed,
    /// Another method than GET and HEAD.
    Method,
    /// The client took too long to say what it wants.
    TooSlow,
    /// It names a host that this server is not known by: a page of somebody else, whose name leads here.
    Host,
    /// The head is too long.
    TooLarge,
}

impl Refused {
    /// The status line's number and words.
    pub(super) const fn status(self) -> (u16, &'static str) {
        match self {
            Refused::Malformed => (400, "Bad Request"),
            Refused::Method => (405, "Method Not Allowed"),
            Refused::TooSlow => (408, "Request Timeout"),
            Refused::Host => (421, "Misdirected Request"),
            Refused::TooLarge => (431, "Request Header Fields Too Large"),
        }
    }
}

/// Which hosts a request may name. A name that a stranger's server can let lead to this machine is not
/// among them, so that no page of theirs reads what this server says.
#[derive(Debug)]
pub(super) struct Hosts {
    /// The address that is listened on.
    pub(super) listen: IpAddr,
    /// Whether any address, written in numbers, will do.
    pub(super) any_address: bool,
    /// Names that were allowed on the command line.
    pub(super) names: Vec<String>,
}

impl Hosts {
    fn allow(&self, host: &str) -> bool {
        let Some(name) = without_port(host) else {
            return false;
        };
        let bare = name
            .strip_prefix('[')
            .and_then(|name| name.strip_suffix(']'));
        let address = match bare {
            Some(bare) => bare.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            None => name.parse::<IpAddr>().ok().filter(IpAddr::is_ipv4),
        };
        match address {
            Some(address) => self.any_address || address.is_loopback() || address == self.listen,
            None => {
                let known = self.names.iter().map(String::as_str);
                known
                    .chain(["localhost"])
                    .any(|known| known.eq_ignore_ascii_case(name))
            }
        }
    }
}

/// The name in front of a port, if what stands behind it can be one.
fn without_port(host: &str) -> Option<&str> {
    let end_of_address = host.find(']').map_or(0, |at| at + 1);
    let (address, rest) = host.split_at_checked(end_of_address)?;
    let (name, port) = match rest.split_once(':') {
        Some((name, port)) => (name, Some(port)),
        None => (rest, None),
    };
    let is_port = |port: &str| port.parse::<u16>().is_ok();
    if !port.is_none_or(is_port) || (!address.is_empty() && !name.is_empty()) {
        return None;
    }
    Some(if address.is_empty() { name } else { address })
}

/// Reads up to the empty line. `Ok(None)` if the client left without saying anything.
pub(super) fn read(stream: &mut impl Read) -> Result<Option<Vec<u8>>, Refused> {
    let mut head = Vec::new();
    let mut part = [0; 2048];
    loop {
        let read = match stream.read(&mut part) {
            Ok(0) if head.is_empty() => return Ok(None),
            Ok(0) => return Err(Refused::Malformed),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                ) =>
            {
                return Err(Refused::TooSlow);
            }
            Err(_) => return Ok(None),
        };
        // The empty line may begin in what was there already.
        let from = head.len().saturating_sub(3);
        head.extend_from_slice(part.get(..read).unwrap_or_default());
        if head
            .get(from..)
            .is_some_and(|new| new.windows(4).any(|four| four == b"\r\n\r\n"))
        {
            return Ok(Some(head));
        }
        if head.len() > HEAD_MAX_BYTES {
            return Err(Refused::TooLarge);
        }
    }
}

/// What the head asks for.
pub(super) fn parse(head: &[u8], hosts: &Hosts) -> Result<Request, Refused> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut request = httparse::Request::new(&mut headers);
    match request.parse(head) {
        Ok(httparse::Status::Complete(_)) => {}
        Err(httparse::Error::TooManyHeaders) => return Err(Refused::TooLarge),
        Ok(httparse::Status::Partial) | Err(_) => return Err(Refused::Malformed),
    }
    let mut named = request
        .headers
        .iter()
        .filter(|header| header.name.eq_ignore_ascii_case("host"))
        .map(|header| std::str::from_utf8(header.value));
    // Two hosts, or none, is nobody's request.
    let (Some(Ok(host)), None) = (named.next(), named.next()) else {
        return Err(Refused::Malformed);
    };
    if !hosts.allow(host.trim()) {
        return Err(Refused::Host);
    }
    let is_head = match request.method {
        Some("GET") => false,
        Some("HEAD") => true,
        _ => return Err(Refused::Method),
    };
    let path = request.path.filter(|path| path.starts_with('/'));
    let path = path.ok_or(Refused::Malformed)?;
    let path = path.split(['?', '#']).next().unwrap_or(path).to_owned();
    Ok(Request { path, is_head })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> Hosts {
        Hosts {
            listen: [127, 0, 0, 1].into(),
            any_address: false,
            names: vec!["store4.example".to_owned()],
        }
    }

    #[test]
    fn only_names_that_nobody_else_can_lead_here_are_allowed() {
        for host in [
            "localhost",
            "LocalHost:9464",
            "127.0.0.1:9464",
            "127.9.9.9",
            "[::1]",
            "[::1]:9464",
            "store4.example:1",
        ] {
            assert!(hosts().allow(host), "{host}");
        }
        for host in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.7:9464",
            "localhost:99999",
            "localhost:9464:1",
            "::1",
            "[::1",
            "[::1]evil.example",
            "[127.0.0.1]",
            "evil.example@localhost",
        ] {
            assert!(!hosts().allow(host), "{host}");
        }
        let open = Hosts {
            any_address: true,
            ..hosts()
        };
        assert!(open.allow("10.0.0.7:9464") && !open.allow("evil.example"));
    }

    #[test]
    fn a_head_is_answered_or_refused_by_what_it_says() {
        let ask = |head: &str| parse(head.as_bytes(), &hosts());
        let get = |path: &str, is_head| {
            Ok(Request {
                path: path.to_owned(),
                is_head,
            })
        };
        assert_eq!(
            ask("GET /metrics?x=1 HTTP/1.1\r\nHost: localhost\r\n\r\n"),
            get("/metrics", false)
        );
        assert_eq!(
            ask("HEAD / HTTP/1.0\r\nhost: localhost\r\n\r\n"),
            get("/", true)
        );
        for (head, why) in [
            (
                "POST / HTTP/1.1\r\nHost: localhost\r\n\r\n",
                Refused::Method,
            ),
            (
                "GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
                Refused::Host,
            ),
            (
                "POST / HTTP/1.1\r\nHost: evil.example\r\n\r\n",
                Refused::Host,
            ),
            ("GET / HTTP/1.1\r\n\r\n", Refused::Malformed),
            (
                "GET / HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n",
                Refused::Malformed,
            ),
            (
                "GET http://localhost/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
                Refused::Malformed,
            ),
            ("GET /\r\n\r\n", Refused::Malformed),
            ("\u{16}\u{3}\u{1}\r\n\r\n", Refused::Malformed),
        ] {
            assert_eq!(ask(head), Err(why), "{head:?}");
        }
        let many = format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
            "A: b\r\n".repeat(HEADERS_MAX)
        );
        assert_eq!(ask(&many), Err(Refused::TooLarge));
    }

    #[test]
    fn reading_ends_at_the_empty_line_at_the_end_or_at_the_bound() {
        /// Gives one byte at a time.
        struct Drop<'a>(&'a [u8]);
        impl Read for Drop<'_> {
            fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
                let (Some((first, rest)), Some(to)) = (self.0.split_first(), to.first_mut()) else {
                    return Ok(0);
                };
                (*to, self.0) = (*first, rest);
                Ok(1)
            }
        }
        let whole = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n";
        assert_eq!(read(&mut Drop(whole)), Ok(Some(whole.to_vec())));
        assert_eq!(read(&mut Drop(b"")), Ok(None));
        assert_eq!(read(&mut Drop(b"GET /")), Err(Refused::Malformed));
        let endless = vec![b'a'; HEAD_MAX_BYTES * 2];
        assert_eq!(read(&mut endless.as_slice()), Err(Refused::TooLarge));
    }
}
