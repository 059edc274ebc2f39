//! RESP2, what clients speak: `GET SET DEL MGET SCAN PING INFO`, and what redis-cli and
//! redis-benchmark ask before they begin.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::TcpStream;

use bytes::{Bytes, BytesMut};
use redis_protocol::resp2::decode::decode_bytes_mut;
use redis_protocol::resp2::encode::extend_encode;
use redis_protocol::resp2::types::BytesFrame;

use crate::router::{Outcome, Router};
use crate::store;
use crate::wire::{Request, Response};

/// Longest command.
const COMMAND_BYTES_MAX: usize = 8 << 20;
/// Scans that are remembered for a connection.
const CURSORS_MAX: usize = 64;
const SCAN_ROWS: u32 = 10;

/// Where scans of a connection go on, by the number that the client was given.
#[derive(Default)]
struct Cursors {
    next: u64,
    keys: BTreeMap<u64, Vec<u8>>,
}

/// Serves one client until it goes away.
pub fn serve(mut stream: TcpStream, mut router: Router) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut input = BytesMut::new();
    let mut output = BytesMut::new();
    let mut cursors = Cursors {
        next: 1,
        ..Cursors::default()
    };
    let mut chunk = vec![0; 64 << 10];
    loop {
        let read = stream.read(&mut chunk)?;
        if read == 0 {
            return Ok(());
        }
        input.extend_from_slice(&chunk[..read]);
        if input.len() > COMMAND_BYTES_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        loop {
            if let Some(words) = inline(&mut input) {
                let answer = answer(&mut router, &mut cursors, words);
                extend_encode(&mut output, &answer, false)
                    .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
                continue;
            }
            if is_inline(&input) {
                // The rest of the line is on its way.
                break;
            }
            match decode_bytes_mut(&mut input) {
                Ok(Some((frame, _, _))) => {
                    let answer = answer(&mut router, &mut cursors, words(frame));
                    extend_encode(&mut output, &answer, false)
                        .map_err(|_| io::Error::from(io::ErrorKind::InvalidData))?;
                }
                Ok(None) => break,
                Err(_) => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
        stream.write_all(&output)?;
        output.clear();
    }
}

/// Whether what comes next is words, and no frame.
fn is_inline(input: &BytesMut) -> bool {
    input.first().is_some_and(u8::is_ascii_alphabetic)
}

/// A command that a person could have typed: words on a line, without lengths. Takes it out of the input once
/// its line is whole.
fn inline(input: &mut BytesMut) -> Option<Vec<Bytes>> {
    if !is_inline(input) {
        return None;
    }
    let end = input.iter().position(|byte| *byte == b'\n')?;
    let line = input.split_to(end + 1).freeze();
    let words = line
        .split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty());
    Some(words.map(|word| line.slice_ref(word)).collect())
}

fn words(frame: BytesFrame) -> Vec<Bytes> {
    match frame {
        BytesFrame::Array(words) => words.into_iter().flat_map(self::words).collect(),
        BytesFrame::BulkString(bytes) | BytesFrame::SimpleString(bytes) => vec![bytes],
        _ => Vec::new(),
    }
}

fn error(text: impl AsRef<str>) -> BytesFrame {
    BytesFrame::Error(text.as_ref().into())
}

fn ok() -> BytesFrame {
    BytesFrame::SimpleString(Bytes::from_static(b"OK"))
}

fn bulk(value: Option<Vec<u8>>) -> BytesFrame {
    value.map_or(BytesFrame::Null, |value| {
        BytesFrame::BulkString(value.into())
    })
}

fn run(router: &mut Router, request: &Request) -> Result<Response, BytesFrame> {
    match router.execute(request) {
        Outcome::Answer(response) => Ok(response),
        Outcome::Failed(reason) => Err(error(format!("TRYAGAIN nothing was done: {reason}"))),
        Outcome::Unknown(reason) => Err(error(format!("UNKNOWN may have been done: {reason}"))),
    }
}

fn answer(router: &mut Router, cursors: &mut Cursors, words: Vec<Bytes>) -> BytesFrame {
    let Some((name, arguments)) = words.split_first() else {
        return error("ERR empty command");
    };
    let name = String::from_utf8_lossy(name).to_ascii_uppercase();
    let done = match (name.as_str(), arguments) {
        ("PING", []) => Ok(BytesFrame::SimpleString(Bytes::from_static(b"PONG"))),
        ("PING", [text]) => Ok(BytesFrame::BulkString(text.clone())),
        ("GET", [key]) => get(router, key),
        ("MGET", [_, ..]) => {
            let values: Result<Vec<_>, _> = arguments.iter().map(|key| get(router, key)).collect();
            values.map(BytesFrame::Array)
        }
        ("SET", [key, value]) => {
            let request = Request::Set {
                key: key.to_vec(),
                value: value.to_vec(),
            };
            run(router, &request).map(|_| ok())
        }
        ("DEL", [_, ..]) => delete(router, arguments),
        ("SCAN", [cursor, options @ ..]) => scan(router, cursors, cursor, options),
        ("INFO", _) => Ok(BytesFrame::BulkString(info(router).into())),
        // No setting of that kind is there; redis-benchmark asks for two.
        ("CONFIG", [_, name]) => Ok(BytesFrame::Array(vec![
            BytesFrame::BulkString(name.clone()),
            BytesFrame::BulkString(Bytes::new()),
        ])),
        ("COMMAND" | "CONFIG", _) => Ok(BytesFrame::Array(Vec::new())),
        ("SELECT" | "CLIENT", _) => Ok(ok()),
        ("QUIT", _) => Ok(ok()),
        _ => Err(error(format!(
            "ERR unknown command or wrong number of arguments for '{name}'"
        ))),
    };
    done.unwrap_or_else(|error| error)
}

fn get(router: &mut Router, key: &Bytes) -> Result<BytesFrame, BytesFrame> {
    match run(router, &Request::Get { key: key.to_vec() })? {
        Response::Value(value) => Ok(bulk(value)),
        _ => Err(error("ERR no value")),
    }
}

fn delete(router: &mut Router, keys: &[Bytes]) -> Result<BytesFrame, BytesFrame> {
    let mut deleted = 0;
    for key in keys {
        if let Response::Deleted(true) = run(router, &Request::Delete { key: key.to_vec() })? {
            deleted += 1;
        }
    }
    Ok(BytesFrame::Integer(deleted))
}

fn scan(
    router: &mut Router,
    cursors: &mut Cursors,
    cursor: &Bytes,
    options: &[Bytes],
) -> Result<BytesFrame, BytesFrame> {
    let number = |bytes: &Bytes| std::str::from_utf8(bytes).ok()?.parse::<u64>().ok();
    let Some(cursor) = number(cursor) else {
        return Err(error("ERR invalid cursor"));
    };
    let mut limit = SCAN_ROWS;
    for pair in options.chunks(2) {
        match pair {
            [name, value] if name.eq_ignore_ascii_case(b"COUNT") => {
                let count = number(value).filter(|count| (1..=10_000).contains(count));
                limit = u32::try_from(count.ok_or_else(|| error("ERR invalid count"))?)
                    .unwrap_or(SCAN_ROWS);
            }
            _ => return Err(error("ERR only COUNT is understood")),
        }
    }
    let start = match cursor {
        0 => Vec::new(),
        cursor => cursors
            .keys
            .remove(&cursor)
            .ok_or_else(|| error("ERR no such cursor"))?,
    };
    let Response::Rows { rows, next } = run(router, &Request::Scan { start, limit })? else {
        return Err(error("ERR no rows"));
    };
    let cursor = next.map_or(0, |key| {
        let cursor = cursors.next;
        cursors.next += 1;
        cursors.keys.insert(cursor, key);
        while cursors.keys.len() > CURSORS_MAX {
            cursors.keys.pop_first();
        }
        cursor
    });
    let keys = rows
        .into_iter()
        .map(|(key, _)| BytesFrame::BulkString(key.into()))
        .collect();
    let cursor = BytesFrame::BulkString(cursor.to_string().into_bytes().into());
    Ok(BytesFrame::Array(vec![cursor, BytesFrame::Array(keys)]))
}

fn info(router: &Router) -> Vec<u8> {
    let context = &router.context;
    let status = store::status(context.id, &context.engine, &context.shared);
    let mut text = format!(
        "# Store\r\nstore:{}\r\nregions:{}\r\nleaders:{}\r\ndamaged:{}\r\nuninitialized:{}\r\nmerging:{}\r\n\
         cache_bytes:{}\r\n# Counters\r\n",
        status.store,
        status.regions,
        status.leaders,
        status.damaged,
        status.uninitialized,
        status.merging,
        context.engine.cache_bytes(),
    );
    for (name, count) in &status.counters {
        text.push_str(&format!("{name}:{count}\r\n"));
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typed_line_is_a_command_when_it_is_whole_and_a_framed_one_is_left_alone() {
        let mut input = BytesMut::from(&b"SET  a 1\r\nPI"[..]);
        let words = inline(&mut input).expect("a line is whole");
        assert_eq!(words, ["SET", "a", "1"]);
        assert_eq!(inline(&mut input), None, "half a line");
        input.extend_from_slice(b"NG\n");
        assert_eq!(inline(&mut input).expect("now it is whole"), ["PING"]);
        let mut framed = BytesMut::from(&b"*1\r\n$4\r\nPING\r\n"[..]);
        assert_eq!(inline(&mut framed), None);
        assert_eq!(framed.len(), 14);
    }
}
