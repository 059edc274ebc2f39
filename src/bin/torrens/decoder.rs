//! `--decoder COMMAND`: a program of the user's that says what keys and records mean. One line of JSON to it,
//! one line back, for each.
//!
//! ```text
//! {"v":1,"key":"6d3432"}                                      "user/42"
//! {"v":1,"lsn":8412,"kind":"region.split","payload":"0a1b"}   {"table":7}
//! ```
//!
//! `null` declines. What it says of a key stands wherever keys are shown; what it says of a record is
//! `decoded` in the record's JSON, and behind the detail in a table.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};
use torrens::inspector::hex;
use torrens_recovery::RecordItem;

use crate::exit::{Exit, Failure};
use crate::render::printable;
use crate::sheet::JSON_VERSION;

/// Answers about keys that are kept; then they are forgotten and asked for again.
const KEYS_KEPT: usize = 65_536;
/// A longer answer is none.
const ANSWER_BYTES_MAX: u64 = 1024 * 1024;

/// How often it is looked whether a decoder has ended by itself, and how long between two looks.
const ENDING_LOOKS: u32 = 100;
const ENDING_PAUSE: Duration = Duration::from_millis(10);

/// What went wrong with a decoder: told when the command is done, since it is asked in the middle of a line.
static FAILED: Mutex<Option<Failure>> = Mutex::new(None);

/// The failure of a decoder, if there was one.
pub(crate) fn failure() -> Option<Failure> {
    FAILED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone()
}

fn fail(why: String) {
    let mut failed = FAILED.lock().unwrap_or_else(PoisonError::into_inner);
    failed.get_or_insert_with(|| Failure {
        code: "decoder",
        message: printable(&why),
        hint: Some(
            "a decoder reads a line of JSON and answers with one, as `torrens help dump` says"
                .to_owned(),
        ),
        exit: Exit::INPUT,
    });
}

/// The program, running.
#[derive(Clone, Debug)]
pub(crate) struct Decoder {
    running: Arc<Mutex<Running>>,
}

#[derive(Debug)]
struct Running {
    command: String,
    child: Child,
    /// None once it failed.
    pipes: Option<(ChildStdin, BufReader<ChildStdout>)>,
    keys: HashMap<Vec<u8>, Option<String>>,
}

impl Drop for Running {
    fn drop(&mut self) {
        // The end of its input is the end of its work.
        self.pipes = None;
        for _ in 0..ENDING_LOOKS {
            match self.child.try_wait() {
                Ok(None) => thread::sleep(ENDING_PAUSE),
                Ok(Some(_)) | Err(_) => return,
            }
        }
        // One that does not end by itself keeps nobody waiting.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Decoder {
    /// Starts it, by the shell.
    pub(crate) fn start(command: &str) -> Option<Decoder> {
        let spawned = Command::new("sh")
            .arg("-c")
            .arg(command)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) => {
                fail(format!("cannot start the decoder {command:?}: {error}"));
                return None;
            }
        };
        let pipes = child.stdin.take().zip(child.stdout.take());
        Some(Decoder {
            running: Arc::new(Mutex::new(Running {
                command: command.to_owned(),
                child,
                pipes: pipes.map(|(input, output)| (input, BufReader::new(output))),
                keys: HashMap::new(),
            })),
        })
    }

    /// What it says of a key; none if it declines.
    pub(crate) fn key(&self, key: &[u8]) -> Option<String> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = running.keys.get(key) {
            return known.clone();
        }
        let answer = match running.ask(&json!({"v": JSON_VERSION, "key": hex(key)})) {
            Value::Null => None,
            Value::String(text) => Some(text),
            other => Some(other.to_string()),
        };
        if running.keys.len() >= KEYS_KEPT {
            running.keys.clear();
        }
        running.keys.insert(key.to_vec(), answer.clone());
        answer
    }

    /// What it says of a record; null if it declines.
    pub(crate) fn record(&self, item: &RecordItem<'_>, kind: &str) -> Value {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.ask(&json!({
            "v": JSON_VERSION,
            "lsn": item.record.lsn.get(),
            "kind": kind,
            "payload": hex(item.record.payload),
        }))
    }
}

impl Running {
    fn ask(&mut self, question: &Value) -> Value {
        let Some((input, output)) = &mut self.pipes else {
            return Value::Null;
        };
        let mut answer = String::new();
        let asked = writeln!(input, "{question}")
            .and_then(|()| input.flush())
            .and_then(|()| {
                let mut limited = std::io::Read::take(&mut *output, ANSWER_BYTES_MAX);
                limited.read_line(&mut answer)
            });
        let command = &self.command;
        let why = match asked {
            Ok(0) => format!("the decoder {command:?} ended before its work was done"),
            Err(error) => format!("the decoder {command:?} cannot be asked: {error}"),
            Ok(_) => match serde_json::from_str(&answer) {
                Ok(value) => return value,
                Err(error) => format!("the decoder {command:?} gave no line of JSON: {error}"),
            },
        };
        // It is not asked again, and the rest is shown without it.
        self.pipes = None;
        fail(why);
        Value::Null
    }
}
