//! `torrens bundle`: what somebody who helps has to know about a store, in one file, without a key in it.
//!
//! Each part is what a command of this tool prints, so a bundle can be read like a terminal, and a command
//! that fails on this directory does not keep the others out.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Parser;
use flate2::Compression;
use flate2::write::GzEncoder;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use torrens::inspector::clock::timestamp;
use torrens::inspector::{Inspector, hex};

use crate::exit::{Exit, Failure};
use crate::fresh::{self, Fresh, refused};
use crate::look;
use crate::output::Out;
use crate::progress::{Meter, Shown};
use crate::render::size;
use crate::sheet::JSON_VERSION;
use crate::view::{SECRET_VARIABLE, Target, secret_of};

/// The parts: the file's name, and the command that prints it.
const PARTS: [(&str, &[&str]); 14] = [
    ("info.txt", &["info", "-o", "text"]),
    ("info.json", &["info", "-o", "json"]),
    ("verify.txt", &["verify", "-o", "text"]),
    ("verify.json", &["verify", "-o", "json"]),
    ("explain.txt", &["explain", "-o", "text"]),
    ("explain.json", &["explain", "-o", "json"]),
    (
        "stats-kind.ndjson",
        &["stats", "-o", "ndjson", "--by", "kind"],
    ),
    (
        "stats-region.ndjson",
        &["stats", "-o", "ndjson", "--by", "region"],
    ),
    ("state.ndjson", &["state", "-o", "ndjson"]),
    ("observers.ndjson", &["observers", "-o", "ndjson"]),
    (
        "timeline.ndjson",
        &["timeline", "-o", "ndjson", "--format", "list"],
    ),
    ("lineage.json", &["lineage", "--format", "json"]),
    ("repairs.ndjson", &["repair", "list", "-o", "ndjson"]),
    ("dump.ndjson", &["dump", "-o", "ndjson"]),
];
/// The folder in the archive.
const FOLDER: &str = "torrens-bundle";

/// Gather everything that a bug report needs in one file, with every key replaced by a token.
#[derive(Debug, Parser)]
#[command(
    after_help = "The file is a gzipped tar archive of what the reading commands print, and a manifest with each \
command and its exit code. Keys are replaced by tokens, the same one for the same key; no region data, no raw \
record and no path is in it. Exit codes: 0 done, whatever the verdict; 8 nothing to look at; 10 the file is there."
)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// The new file [default: torrens-bundle.tar.gz]
    #[arg(
        short,
        long,
        value_name = "FILE",
        default_value = "torrens-bundle.tar.gz"
    )]
    output: PathBuf,
    /// The same secret gives the same tokens in another bundle, as in one of another store [default: $TORRENS_REDACT_WITH, or random]
    #[arg(long, value_name = "SECRET")]
    redact_with: Option<String>,
    /// Only the last N records in dump.ndjson [default: all]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    last: Option<u64>,
    #[command(flatten)]
    progress: Shown,
}

/// What is in the archive, and how it was made.
#[derive(JsonSchema, Serialize)]
struct Manifest {
    v: u32,
    torrens: &'static str,
    made: String,
    system: String,
    keys: &'static str,
    parts: Vec<Part>,
}

/// One file of the archive.
#[derive(JsonSchema, Serialize)]
struct Part {
    file: &'static str,
    command: String,
    /// None if a signal ended it.
    exit: Option<i32>,
    said: String,
    bytes: u64,
}

/// The schema of `manifest.json`.
pub(crate) fn schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Manifest>()
}

/// Runs the command.
pub(crate) fn run(args: &Args) -> Exit {
    match bundle(args) {
        Ok(exit) => exit,
        Err(failure) => failure.report(),
    }
}

fn bundle(args: &Args) -> Result<Exit, Failure> {
    let dir = args.target.only()?;
    let inspector = Inspector::open(&dir).map_err(look::failure)?;
    let fresh = Fresh::at(&args.output, Some(&dir))?;
    let file = fresh.file()?;
    let output = |error: io::Error| refused("write", &args.output, &error);
    let secret = match secret_of(args.redact_with.as_deref()) {
        Some(secret) => secret,
        None => random_secret()?,
    };
    let mut archive = tar::Builder::new(GzEncoder::new(file, Compression::default()));
    archive.mode(tar::HeaderMode::Deterministic);
    let mut manifest = Manifest {
        v: JSON_VERSION,
        torrens: env!("CARGO_PKG_VERSION"),
        made: timestamp(inspector.now_micros()),
        system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        keys: "replaced by tokens",
        parts: Vec::new(),
    };
    let mut is_cut = false;
    let meter = Meter::new(args.progress.when);
    for (number, (name, words)) in (0u64..).zip(PARTS) {
        if meter.parts(number, PARTS.len() as u64, name).is_break() {
            is_cut = true;
            break;
        }
        let part = Source { name, words }.add(args, &dir, &secret, &fresh, &mut archive)?;
        manifest.parts.push(part);
    }
    let text = serde_json::to_vec_pretty(&manifest).map_err(|error| output(error.into()))?;
    append(&mut archive, "manifest.json", text.len() as u64, &*text).map_err(output)?;
    let file = archive
        .into_inner()
        .and_then(GzEncoder::finish)
        .map_err(output)?;
    let bytes = file
        .sync_all()
        .and_then(|()| file.metadata())
        .map_err(output)?
        .len();
    fresh.finish()?;
    let mut out = Out::lock();
    let written = summary(&mut out, args, &manifest, bytes);
    let exit = match is_cut {
        true => Exit::INTERRUPTED,
        false => Exit::OK,
    };
    Ok(out.finish(written, exit))
}

/// A part before it is made.
struct Source {
    name: &'static str,
    words: &'static [&'static str],
}

impl Source {
    /// Runs the command and puts what it printed into the archive.
    fn add<W: Write>(
        &self,
        args: &Args,
        dir: &Path,
        secret: &str,
        fresh: &Fresh,
        archive: &mut tar::Builder<W>,
    ) -> Result<Part, Failure> {
        let output = |error: io::Error| refused("write", &args.output, &error);
        let tool = std::env::current_exe()
            .map_err(|error| refused("find", "this program".as_ref(), &error))?;
        // A tar archive states a length before the bytes, and a dump may be larger than the memory.
        let held = Held::beside(fresh.aside()).map_err(output)?;
        let mut command = Command::new(tool);
        // From inside, so that no part says where the store lies.
        command
            .current_dir(dir)
            .env("COLUMNS", "160")
            .env_remove("CLICOLOR_FORCE")
            .stdin(Stdio::null())
            .stdout(held.file.try_clone().map_err(output)?)
            .stderr(Stdio::piped());
        let (verb, options) = match self.words {
            ["repair", "list", options @ ..] => (&["repair", "list"][..], options),
            [verb, options @ ..] => (std::slice::from_ref(verb), options),
            [] => (&[][..], &[][..]),
        };
        command.args(verb).arg(".").args(options);
        command.args(["--keys", "redact"]);
        // Everybody on the machine can read a command line.
        command.env(SECRET_VARIABLE, secret);
        command.args(["--progress", "never"]);
        if let (&["dump"], Some(last)) = (verb, args.last) {
            command.args(["--last", &last.to_string()]);
        }
        let ran = command.output().map_err(output)?;
        let mut file = held.reopen().map_err(output)?;
        let bytes = file.metadata().map_err(output)?.len();
        append(archive, self.name, bytes, &mut file).map_err(output)?;
        Ok(Part {
            file: self.name,
            command: format!("torrens {} .", self.words.join(" ")),
            exit: ran.status.code(),
            said: String::from_utf8_lossy(&ran.stderr).trim_end().to_owned(),
            bytes,
        })
    }
}

/// A file beside the archive that is gone afterwards.
struct Held {
    file: File,
    path: PathBuf,
}

impl Held {
    fn beside(path: &Path) -> io::Result<Held> {
        let mut name = path.as_os_str().to_owned();
        name.push(".part");
        let path = PathBuf::from(name);
        let file = fresh::create_file(&path)?;
        Ok(Held { file, path })
    }

    /// To read it from its beginning.
    fn reopen(&self) -> io::Result<File> {
        File::open(&self.path)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

fn append<W: Write>(
    archive: &mut tar::Builder<W>,
    name: &str,
    bytes: u64,
    content: impl io::Read,
) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes);
    header.set_mode(0o644);
    archive.append_data(&mut header, Path::new(FOLDER).join(name), content)
}

fn random_secret() -> Result<String, Failure> {
    let mut bytes = [0u8; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| refused("get", "random bytes for the tokens".as_ref(), &error))?;
    Ok(hex(&bytes))
}

fn summary(out: &mut Out, args: &Args, manifest: &Manifest, bytes: u64) -> io::Result<()> {
    let path = crate::render::printable(&args.output.display().to_string());
    writeln!(out, "{path}   {}", size(bytes))?;
    for part in &manifest.parts {
        let exit = part
            .exit
            .map_or("a signal".to_owned(), |exit| exit.to_string());
        writeln!(out, "{:<20} exit {exit:<4} {}", part.file, part.command)?;
    }
    writeln!(
        out,
        "keys are replaced by tokens; read it before you send it"
    )
}
