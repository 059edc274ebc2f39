//! What all reading commands have in common: saying what an error or a verdict means.

use std::path::Path;

use torrens::inspector::{Folded, InspectError, Inspector, Picture};
use torrens_journal::Lsn;
use torrens_recovery::{RecoveryReport, Verdict};

use crate::exit::{Exit, Failure, chain};
use crate::render::printable;

/// That a store is looked at, and not some segments of one.
pub(crate) fn whole(inspector: &Inspector) -> Result<(), Failure> {
    match inspector.is_part() {
        false => Ok(()),
        true => Err(Failure {
            code: "only-a-part",
            message: format!(
                "{} holds segments and no store",
                printable(&inspector.path().display().to_string())
            ),
            hint: Some("give the store's directory, the one that holds journal/".to_owned()),
            exit: Exit::UNREADABLE,
        }),
    }
}

/// What a person is told of an error of the inspector.
pub(crate) fn failure(error: InspectError) -> Failure {
    Failure {
        code: error.code(),
        message: printable(&chain(&error)),
        hint: error.hint().map(str::to_owned),
        exit: Exit::of(error.exit_code()),
    }
}

/// The failure that a verdict is, if the records could not all be read: anything but clean and torn.
pub(crate) fn verdict_failure(dir: &Path, report: &RecoveryReport) -> Option<Failure> {
    let verdict = &report.verdict;
    let message = match verdict {
        Verdict::Clean | Verdict::TornTail(_) => return None,
        Verdict::Corrupt(corruption) => format!(
            "an acknowledged record is unreadable or missing: {}; {}",
            corruption.position, corruption.cause
        ),
        Verdict::ImpossibleSequence(impossible) => {
            format!("record {} cannot be: {}", impossible.lsn, impossible.reason)
        }
        Verdict::NewerFormat(newer) => format!("{}: {}", newer.place, newer.what),
        Verdict::Unreadable(failure) => failure.to_string(),
        other => other.name().to_owned(),
    };
    let hint = match verdict {
        Verdict::NewerFormat(_) => {
            "use a torrens at least as new as the one that wrote it".to_owned()
        }
        Verdict::Unreadable(_) => {
            "nothing is known about what could not be read; check permissions and the device"
                .to_owned()
        }
        _ => format!(
            "torrens explain {} says what is wrong and what to do",
            printable(&dir.display().to_string())
        ),
    };
    Some(Failure {
        code: verdict.name(),
        message: printable(&message),
        hint: Some(hint),
        exit: Exit::of(verdict.exit_code()),
    })
}

/// The failure of a walk through the history that ended before what was asked for: at damage, or at a
/// record that cannot follow.
pub(crate) fn folded_failure(dir: &Path, folded: &Folded, until: Option<Lsn>) -> Option<Failure> {
    let is_short = match until {
        Some(until) => folded.position < until,
        None => true,
    };
    if let Some(failure) = verdict_failure(dir, &folded.report).filter(|_| is_short) {
        return Some(failure);
    }
    folded.stopped.as_ref().map(|why| Failure {
        code: "impossible-sequence",
        message: printable(why),
        hint: Some("torrens explain says what is known of it".to_owned()),
        exit: Exit::of(6),
    })
}

/// `open by process 31877`, or how it is not.
pub(crate) fn opened_by(picture: &Picture) -> String {
    match (picture.writer.is_open, picture.writer.pid) {
        (false, _) => "not open by any process".to_owned(),
        (true, Some(pid)) => format!("open by process {pid}"),
        (true, None) => "open by a process".to_owned(),
    }
}
