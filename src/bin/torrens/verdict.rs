//! A verdict in words and as JSON, the same in every command.

use schemars::JsonSchema;
use serde::Serialize;
use torrens_recovery::facts::Position;
use torrens_recovery::{RecoveryReport, Verdict};

use crate::render::{count, grouped, size};

/// One sentence about what a verdict means for the person who reads it.
pub(crate) fn sentence(report: &RecoveryReport, live: bool) -> String {
    match &report.verdict {
        Verdict::Clean if live => {
            "every record is there; a writer is at work, what it has not finished is no damage"
                .to_owned()
        }
        Verdict::Clean => "every record up to the end is there".to_owned(),
        Verdict::TornTail(torn) => format!(
            "the usual trace of a crash, {} behind LSN {}; nothing witnessed as acknowledged is lost, \
             opening cuts it",
            size(torn.cut_bytes()),
            grouped(report.last_lsn.get())
        ),
        Verdict::Corrupt(corruption) => {
            let after = match corruption.records_after {
                0 => "nothing valid comes after it".to_owned(),
                records => format!("{} after it", count(records, "valid record")),
            };
            format!("an acknowledged record is unreadable or missing, {after}; opening refuses")
        }
        Verdict::ImpossibleSequence(impossible) => format!(
            "every byte verifies, and record {} cannot be; opening refuses",
            grouped(impossible.lsn.get())
        ),
        Verdict::NewerFormat(_) => "written by a newer version; opening refuses".to_owned(),
        Verdict::Unreadable(_) => {
            "the operating system refused a read; nothing is known, opening refuses".to_owned()
        }
        _ => String::new(),
    }
}

/// Where the history stops and what is there, if it stops anywhere but at its end.
pub(crate) fn stop(verdict: &Verdict) -> Option<(Option<Position>, String)> {
    match verdict {
        Verdict::TornTail(torn) => Some((Some(torn.position), torn.stop.to_string())),
        Verdict::Corrupt(corruption) => {
            Some((Some(corruption.position), corruption.cause.to_string()))
        }
        Verdict::ImpossibleSequence(impossible) => {
            let position = Position {
                segment: impossible.segment,
                offset_bytes: impossible.offset_bytes,
                expected: impossible.lsn,
            };
            Some((Some(position), impossible.reason.clone()))
        }
        Verdict::NewerFormat(newer) => Some((None, format!("{}: {}", newer.place, newer.what))),
        Verdict::Unreadable(failure) => Some((None, failure.to_string())),
        _ => None,
    }
}

/// A verdict as JSON.
#[derive(JsonSchema, Serialize)]
pub(crate) struct VerdictJson {
    name: &'static str,
    exit: u8,
    decided: bool,
    stop: Option<StopJson>,
}

#[derive(JsonSchema, Serialize)]
struct StopJson {
    seg: Option<u64>,
    off: Option<u64>,
    expected_lsn: Option<u64>,
    why: String,
}

impl VerdictJson {
    /// The verdict of `report`, under the name and the exit code that the command gives it.
    pub(crate) fn new(report: &RecoveryReport, name: &'static str, exit: u8) -> Self {
        let stop = stop(&report.verdict).map(|(position, why)| StopJson {
            seg: position.map(|position| position.segment.get()),
            off: position.map(|position| position.offset_bytes),
            expected_lsn: position.map(|position| position.expected.get()),
            why,
        });
        VerdictJson {
            name,
            exit,
            decided: report.decided,
            stop,
        }
    }
}
