//! `torrens dump --raw`: a directory as lines that `torrens build` makes the same directory of.

use std::io::{self, Write};
use std::ops::ControlFlow;

use serde::Serialize;
use torrens::inspector::describe;
use torrens::rebuild::{Part, RebuildError};

use super::Args;
use crate::exit::{Exit, Failure, chain};
use crate::output::Out;
use crate::parts;
use crate::record::Said;
use crate::render::printable;
use crate::{interrupt, look};

/// Runs the command. A writer that is at work would be caught between two parts, so none may be.
pub(super) fn dump(args: &Args) -> Result<Exit, Failure> {
    let path = args
        .target
        .only()
        .ok_or_else(|| Exit::one_directory("dump --raw"))?;
    let inspector = args.view.open_path(&path)?;
    if inspector.writer().map_err(look::failure)?.is_open {
        return Err(Failure {
            code: "locked",
            message: format!(
                "{} is open, and would change while it is taken apart",
                printable(&path.display().to_string())
            ),
            hint: Some("close the store first, or use `torrens extract`".to_owned()),
            exit: Exit::LOCKED,
        });
    }
    let mut style = args.view.style(&inspector);
    style.raw = true;
    let mut out = Out::lock();
    let mut line = Vec::new();
    let mut written = Ok(());
    let outcome = inspector.parts(&mut |part, item| {
        let record = match &part {
            Part::Record(record) => item.map(|item| (record, item)),
            _ => None,
        };
        written = match record {
            Some((_, item)) => {
                let record = &item.record;
                let description = describe(record.lsn, record.kind, record.payload);
                let said = Said::of(&description);
                write(
                    &mut out,
                    &mut line,
                    &said.json(item, &description, &style, true),
                )
            }
            None => match parts::line(&part) {
                Some(json) => write(&mut out, &mut line, &json),
                None => Ok(()),
            },
        };
        match written.is_err() || interrupt::asked() {
            true => ControlFlow::Break(()),
            false => ControlFlow::Continue(()),
        }
    });
    match outcome {
        Ok(()) if interrupt::asked() => Ok(out.finish(written, Exit::INTERRUPTED)),
        Err(RebuildError::Stopped) => Ok(out.finish(written, Exit::INTERRUPTED)),
        Ok(()) => Ok(out.finish(written, Exit::OK)),
        Err(RebuildError::Source(error)) => Err(look::failure(error)),
        Err(error) => Err(Failure {
            code: error.code(),
            message: printable(&chain(&error)),
            hint: None,
            exit: Exit::UNREADABLE,
        }),
    }
}

/// One object on a line, in one piece.
fn write(out: &mut Out, line: &mut Vec<u8>, json: &impl Serialize) -> io::Result<()> {
    line.clear();
    serde_json::to_writer(&mut *line, json)?;
    line.push(b'\n');
    out.write_all(line)
}
