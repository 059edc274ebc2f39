//! `torrens build`: a directory from lines of ndjson, as `dump --raw` and `extract` write them.
//!
//! Not here: the lines (`parts`), putting the directory together (`torrens::rebuild`).

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use torrens::rebuild::{Builder, RebuildError};
use torrens_journal::StoreUuid;
use torrens_journal::disk::{Disk, RealDisk};

use crate::exit::{Exit, Failure, chain};
use crate::fresh::{Fresh, refused};
use crate::output::Out;
use crate::parts::{self, Line};
use crate::progress::{Meter, Shown};
use crate::render::{count, printable};

/// The longest line: a record with the largest payload in hexadecimal, and its fields.
const LINE_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Make a store's directory from ndjson, byte for byte as it was dumped.
#[derive(Debug, Parser)]
#[command(
    after_help = "The input is what `torrens dump --raw` or `torrens extract` wrote, changed as you like: checksums and \
links between groups are computed anew. Records without lines for segments and groups are laid out one behind the \
other. Region data is not in it: opened with an engine, the regions are damaged until a snapshot comes. \
Exit codes: 0 done; 8 unreadable; 10 the directory is there; 11 the input makes no journal."
)]
pub(crate) struct Args {
    /// The ndjson; `-` is standard input
    #[arg(value_name = "IN.ndjson")]
    input: PathBuf,
    /// The new directory
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    #[command(flatten)]
    progress: Shown,
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Exit {
    match build(args) {
        Ok(exit) => exit,
        Err(failure) => failure.report(),
    }
}

fn build(args: &Args) -> Result<Exit, Failure> {
    // Of what comes through a pipe nobody knows how much there will be.
    let (input, input_bytes): (Box<dyn Read>, Option<u64>) = match args.input.as_os_str() == "-" {
        true => (Box::new(io::stdin().lock()), None),
        false => {
            let refused = |error| refused("open", &args.input, &error);
            let file = File::open(&args.input).map_err(refused)?;
            let found = file.metadata().map_err(refused)?;
            (Box::new(file), found.is_file().then_some(found.len()))
        }
    };
    let fresh = Fresh::at(&args.output, None)?;
    fresh.directory()?;
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new());
    let store = [disk.random_u64(), disk.random_u64()].map(u64::to_le_bytes);
    let store = StoreUuid(store.concat().try_into().unwrap_or_default());
    let builder = Builder::new(disk, fresh.aside(), store);
    let mut builder = builder.map_err(|error| failure(&error, None))?;
    let gaps = lines(args, BufReader::new(input), input_bytes, &mut builder)?;
    let Some(gaps) = gaps else {
        return Ok(Exit::INTERRUPTED);
    };
    let records = builder.finish().map_err(|error| failure(&error, None))?;
    fresh.finish()?;
    let mut out = Out::lock();
    let written = summary(&mut out, args, records, gaps);
    Ok(out.finish(written, Exit::OK))
}

/// Adds every line; the number of gaps among them, or `None` if somebody pressed Ctrl-C.
fn lines(
    args: &Args,
    mut input: impl BufRead,
    input_bytes: Option<u64>,
    builder: &mut Builder,
) -> Result<Option<u64>, Failure> {
    let meter = Meter::new(args.progress.when);
    let mut text = String::new();
    let (mut gaps, mut read_bytes) = (0, 0u64);
    for number in 1u64.. {
        if meter.bytes(read_bytes, input_bytes).is_break() {
            return Ok(None);
        }
        text.clear();
        let read = (&mut input).take(LINE_BYTES_MAX).read_line(&mut text);
        let read = read.map_err(|error| match error.kind() {
            io::ErrorKind::InvalidData => wrong(number, "it is not UTF-8"),
            _ => refused("read", &args.input, &error),
        })?;
        if read == 0 {
            break;
        }
        read_bytes = read_bytes.saturating_add(read as u64);
        if read as u64 >= LINE_BYTES_MAX && !text.ends_with('\n') {
            return Err(wrong(number, "it is too long"));
        }
        if text.trim().is_empty() {
            continue;
        }
        match parts::read(&text).map_err(|why| wrong(number, &why))? {
            Line::Part(held) => builder
                .add(held.part())
                .map_err(|error| failure(&error, Some(number)))?,
            Line::Store(store) => builder.set_store(store),
            Line::Gap => gaps += 1,
        }
    }
    Ok(Some(gaps))
}

fn wrong(line: u64, why: &str) -> Failure {
    Failure {
        code: "not-a-line",
        message: format!("line {line}: {}", printable(why)),
        hint: Some("the input is what `torrens dump --raw` or `torrens extract` writes".to_owned()),
        exit: Exit::INPUT,
    }
}

/// What a person is told of an error, with the line that it came with.
fn failure(error: &RebuildError, line: Option<u64>) -> Failure {
    let place = line.map_or(String::new(), |line| format!("line {line}: "));
    Failure {
        code: error.code(),
        message: printable(&format!("{place}{}", chain(error))),
        hint: match error {
            RebuildError::Lsn { .. } => Some(
                "records follow each other without a hole; behind a gap there is no history"
                    .to_owned(),
            ),
            _ => None,
        },
        exit: match error {
            RebuildError::Io { .. } => Exit::UNREADABLE,
            _ => Exit::INPUT,
        },
    }
}

fn summary(out: &mut Out, args: &Args, records: u64, gaps: u64) -> io::Result<()> {
    let path = printable(&args.output.display().to_string());
    writeln!(out, "built     {path}, {}", count(records, "record"))?;
    if gaps > 0 {
        writeln!(
            out,
            "left out  {}: nothing is made of one",
            count(gaps, "gap")
        )?;
    }
    writeln!(out, "next      torrens verify {path}")
}
