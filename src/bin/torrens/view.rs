//! How a reading command shows what it found: the options that all of them share, and what follows from
//! them and from the terminal.
//!
//! Not here: the forms themselves (`sheet`), which records are wanted (`select`).

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::{Args, ValueEnum};
use torrens::inspector::clock::{short_time, timestamp};
use torrens::inspector::{Inspector, KeyForm, KeyMask};

use crate::decoder::Decoder;
use crate::exit::{Exit, Failure};
use crate::look;
use crate::output::is_terminal;
use crate::pager;
use crate::progress::{self, ProgressWhen};
use crate::render::age;

/// What stands for standard input.
const STREAM: &str = "-";

/// The directory that a command looks at.
#[derive(Debug, Args)]
pub(crate) struct Target {
    /// The store's directory, also with its segments packed by zstd; a file of segments; or - for segments on
    /// standard input [default: $TORRENS_DIR, or the current directory]
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Others, which are refused with a reason
    #[arg(hide = true)]
    others: Vec<PathBuf>,
}

impl Target {
    /// The path.
    pub(crate) fn path(&self) -> PathBuf {
        let of_environment = || std::env::var_os("TORRENS_DIR").map(PathBuf::from);
        let named = self.dir.clone().or_else(of_environment);
        named.unwrap_or_else(|| PathBuf::from("."))
    }

    /// The path, if there are no others.
    pub(crate) fn only(&self) -> Result<PathBuf, Failure> {
        match self.others.is_empty() {
            true => Ok(self.path()),
            false => Err(Exit::one_directory("this command")),
        }
    }
}

/// The directories that a command looks at which can look at several.
#[derive(Debug, Args)]
pub(crate) struct Targets {
    /// The stores' directories, each also with a name of its own for the output: s4=DIR. Or what else holds segments,
    /// as for other commands [default: $TORRENS_DIR, or the current directory]
    #[arg(value_name = "[NAME=]DIR")]
    dirs: Vec<PathBuf>,
}

impl Targets {
    /// The directories with their names.
    pub(crate) fn named(&self) -> Vec<(String, PathBuf)> {
        if self.dirs.is_empty() {
            let only = Target {
                dir: None,
                others: Vec::new(),
            };
            let path = only.path();
            return vec![(path.display().to_string(), path)];
        }
        self.dirs.iter().map(|dir| named(dir)).collect()
    }

    /// The only directory; none if there are several.
    pub(crate) fn only(&self) -> Option<PathBuf> {
        match self.named().as_slice() {
            [(_, path)] => Some(path.clone()),
            _ => None,
        }
    }
}

/// `s4=DIR` is a directory with a name, if nothing has that very path.
fn named(dir: &std::path::Path) -> (String, PathBuf) {
    let is_name = |name: &str| {
        let is_letter = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
        !name.is_empty() && name.chars().all(is_letter)
    };
    let parts = dir.to_str().and_then(|text| text.split_once('='));
    match parts {
        Some((name, path)) if is_name(name) && !dir.exists() => {
            (name.to_owned(), PathBuf::from(path))
        }
        _ => (dir.display().to_string(), dir.to_owned()),
    }
}

/// Options of every reading command.
#[derive(Debug, Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct View {
    /// Form of the output [default: table on a terminal, text otherwise]
    #[arg(short, long, value_enum, value_name = "FORM")]
    pub(crate) output: Option<Output>,
    /// Only these columns or JSON keys, in this order; parts of a key with dots, as in data.rows
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    pub(crate) fields: Vec<String>,
    /// Colours; `auto` obeys NO_COLOR and CLICOLOR_FORCE
    #[arg(long, value_enum, value_name = "WHEN", default_value_t = When::Auto, hide_possible_values = false)]
    color: When,
    /// Times in tables and text; JSON is always UTC
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Times::Utc)]
    times: Times,
    /// Keys; `redact` shows a token instead, the same one for the same key
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Keys::Auto)]
    keys: Keys,
    /// With --keys redact: the same secret gives the same tokens another time [default: $TORRENS_REDACT_WITH, or random]
    #[arg(long, value_name = "SECRET", requires = "keys")]
    redact_with: Option<String>,
    /// Progress on standard error
    #[arg(long, value_enum, value_name = "HOW", default_value_t = ProgressWhen::Auto)]
    progress: ProgressWhen,
    /// A program that says what keys and records mean: it gets a line of JSON for each, {"key":"HEX"} or
    /// {"lsn":N,"kind":KIND,"payload":"HEX"}, and answers with a line of JSON; null declines
    #[arg(long, value_name = "COMMAND")]
    decoder: Option<String>,
    /// Whole numbers in JSON: as numbers, or as text for readers that keep numbers as doubles and round those above
    /// 2^53
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Numbers::Number)]
    u64: Numbers,
    /// No pager, also on a terminal; which one it is say TORRENS_PAGER and PAGER [default: less]
    #[arg(long)]
    pub(crate) no_pager: bool,
    /// The version of the JSON objects that is wanted; this torrens has version 1
    #[arg(long, value_name = "V", value_parser = clap::value_parser!(u32).range(1..=1))]
    schema_version: Option<u32>,
    /// Threads that verify checksums beside the one that reads; 0 for none [default: what suits the machine]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
}

/// Forms of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Aligned columns, cut to the width of the terminal
    Table,
    /// Columns separated by TAB, nothing cut
    Text,
    /// One JSON object per line
    Ndjson,
    /// One JSON array, or one JSON object
    Json,
    /// Comma-separated values with a header
    Csv,
}

/// Forms of whole numbers in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Numbers {
    Number,
    String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum When {
    Auto,
    Always,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Times {
    /// 2026-03-14T09:21:07.114Z, shorter in a table
    Utc,
    /// The same in full, in tables too
    Iso,
    /// 2026-03-14T10:21:07.114+01:00, in the zone of this machine or of TZ
    Local,
    /// 11 min ago
    Relative,
    /// No times
    None,
}

/// Forms of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Keys {
    /// As text if it is printable ASCII, in hexadecimal otherwise
    Auto,
    /// 0x6d
    Hex,
    /// Other bytes than printable ASCII as \xHH
    Esc,
    /// base64:bQ==
    Base64,
    /// k:5fd924625f6ab16a
    Redact,
}

impl Keys {
    /// The form; a redacted one with the tokens of `secret`, of the one in the environment, or of a random one.
    pub(crate) fn form(self, secret: Option<&str>) -> KeyForm {
        match self {
            Keys::Auto => KeyForm::Auto,
            Keys::Hex => KeyForm::Hex,
            Keys::Esc => KeyForm::Escaped,
            Keys::Base64 => KeyForm::Base64,
            Keys::Redact => KeyForm::Redacted(mask(secret_of(secret).as_deref())),
        }
    }
}

/// What the options say, and what they do not say is found out.
#[derive(Clone, Debug)]
pub(crate) struct Style {
    /// The form.
    pub(crate) output: Output,
    /// Columns or keys; all if empty.
    pub(crate) fields: Vec<String>,
    /// Whether to paint.
    pub(crate) color: bool,
    /// How keys are shown.
    pub(crate) keys: KeyForm,
    /// Whether a record's JSON has its bytes too.
    pub(crate) raw: bool,
    /// Who says what records mean.
    pub(crate) decoder: Option<Decoder>,
    /// Whether whole numbers in JSON are text.
    pub(crate) numbers_as_text: bool,
    times: Times,
    now_micros: u64,
}

impl View {
    /// What a command has that writes to a place of its own: plain keys, UTC.
    pub(crate) fn plain(progress: ProgressWhen) -> View {
        View {
            output: None,
            fields: Vec::new(),
            color: When::Auto,
            times: Times::Utc,
            keys: Keys::Auto,
            redact_with: None,
            progress,
            decoder: None,
            u64: Numbers::Number,
            no_pager: true,
            schema_version: None,
            threads: None,
        }
    }

    /// Opens a directory for looking at, with progress.
    pub(crate) fn open(&self, target: &Target) -> Result<Inspector, Failure> {
        self.open_path(&target.only()?)
    }

    /// Opens another directory.
    pub(crate) fn open_path(&self, path: &std::path::Path) -> Result<Inspector, Failure> {
        if !self.no_pager {
            pager::want();
        }
        let opened = match path.as_os_str() == STREAM {
            true => Inspector::read(&mut std::io::stdin().lock()),
            false => Inspector::open_packed(path),
        };
        let inspector = opened.map_err(look::failure)?;
        let inspector = match self.threads {
            Some(threads) => inspector.with_threads(threads),
            None => inspector,
        };
        Ok(inspector.watched(progress::watch(self.progress)))
    }

    /// Opens a store's own directory, of which nothing is packed: what changes it works on its files.
    pub(crate) fn open_store(&self, path: &std::path::Path) -> Result<Inspector, Failure> {
        let inspector = Inspector::open(path).map_err(look::failure)?;
        Ok(inspector.watched(progress::watch(self.progress)))
    }

    /// Opens a directory without a bar, since several are read at once.
    pub(crate) fn open_silent(&self, path: &std::path::Path) -> Result<Inspector, Failure> {
        let inspector = self.open_path(path)?;
        Ok(inspector.watched(progress::watch(ProgressWhen::Never)))
    }

    /// What the options amount to.
    pub(crate) fn style(&self, inspector: &Inspector) -> Style {
        self.style_at(inspector.now_micros())
    }

    /// The same, where there is no directory.
    pub(crate) fn style_without_store(&self) -> Style {
        self.style_at(0)
    }

    fn style_at(&self, now_micros: u64) -> Style {
        let decoder = self.decoder.as_deref().and_then(Decoder::start);
        Style {
            output: self.output.unwrap_or(match is_terminal() {
                true => Output::Table,
                false => Output::Text,
            }),
            fields: self.fields.clone(),
            color: match self.color {
                When::Always => true,
                When::Never => false,
                When::Auto => wants_color(),
            },
            keys: match (&decoder, self.keys) {
                (Some(decoder), Keys::Auto) => {
                    let decoder = decoder.clone();
                    KeyForm::Told(KeyMask::new(move |key| {
                        decoder.key(key).unwrap_or_default()
                    }))
                }
                _ => self.keys.form(self.redact_with.as_deref()),
            },
            // What was redacted would be given away by what is said of the whole record.
            decoder: decoder.filter(|_| self.keys != Keys::Redact),
            raw: false,
            numbers_as_text: self.u64 == Numbers::String,
            times: self.times,
            now_micros,
        }
    }
}

/// <https://no-color.org>, and CLICOLOR_FORCE for a pipe into a pager.
fn wants_color() -> bool {
    let is_set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    if is_set("NO_COLOR") {
        return false;
    }
    if std::env::var_os("CLICOLOR_FORCE").is_some_and(|value| !value.is_empty() && value != "0") {
        return true;
    }
    let is_dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    std::io::stdout().is_terminal() && !is_dumb
}

/// Where a secret may be given that no list of processes shows.
pub(crate) const SECRET_VARIABLE: &str = "TORRENS_REDACT_WITH";

/// The secret that an option gives, or else the environment; an empty one in the environment is none.
pub(crate) fn secret_of(option: Option<&str>) -> Option<String> {
    let of_environment = || std::env::var(SECRET_VARIABLE).ok();
    option
        .map(str::to_owned)
        .or_else(|| of_environment().filter(|secret| !secret.is_empty()))
}

/// A keyed hash, so that nobody without the secret can try keys until a token fits.
fn mask(secret: Option<&str>) -> KeyMask {
    let key = match secret {
        Some(secret) => blake3::derive_key("torrens tool: redacted keys", secret.as_bytes()),
        None => {
            let mut key = [0; 32];
            // Without randomness nothing is shown rather than something that can be guessed.
            match getrandom::fill(&mut key) {
                Ok(()) => key,
                Err(_) => return KeyMask::new(|_| "k:?".to_owned()),
            }
        }
    };
    KeyMask::new(move |bytes| {
        let hash = blake3::keyed_hash(&key, bytes).to_hex();
        format!("k:{}", hash.get(..16).unwrap_or_default())
    })
}

/// A time with its distance from UTC; UTC if the zone is not known.
fn local_time(micros: u64) -> String {
    let then = i64::try_from(micros).ok();
    let then = then.and_then(|micros| jiff::Timestamp::from_microsecond(micros).ok());
    then.map_or_else(
        || timestamp(micros),
        |then| {
            let zoned = then.to_zoned_datetime(jiff::tz::TimeZone::system());
            zoned.strftime("%Y-%m-%dT%H:%M:%S%.3f%:z").to_string()
        },
    )
}

impl Style {
    /// For a view on the whole screen, which does its own colours and cuts its own lines.
    #[cfg(feature = "tui")]
    pub(crate) fn of_screen(keys: KeyForm, now_micros: u64) -> Style {
        Style {
            output: Output::Text,
            fields: Vec::new(),
            color: false,
            keys,
            times: Times::Utc,
            raw: false,
            decoder: None,
            numbers_as_text: false,
            now_micros,
        }
    }

    /// Whether the form is for a person.
    pub(crate) fn is_for_people(&self) -> bool {
        matches!(self.output, Output::Table | Output::Text)
    }

    /// A time in a cell of a table or of text.
    pub(crate) fn time(&self, micros: Option<u64>) -> String {
        let Some(micros) = micros.filter(|micros| *micros > 0) else {
            return self.nothing();
        };
        match (self.times, self.output) {
            (Times::None, _) => self.nothing(),
            (Times::Relative, _) => age(micros, self.now_micros),
            (Times::Iso, _) => timestamp(micros),
            (Times::Local, _) => local_time(micros),
            (Times::Utc, Output::Table) => short_time(micros),
            (Times::Utc, _) => timestamp(micros),
        }
    }

    /// An empty cell: a dash in a table, nothing in a file.
    pub(crate) fn nothing(&self) -> String {
        match self.output {
            Output::Table => "-".to_owned(),
            _ => String::new(),
        }
    }

    /// What is there, or an empty cell.
    pub(crate) fn or_nothing(&self, value: Option<impl ToString>) -> String {
        value.map_or_else(|| self.nothing(), |value| value.to_string())
    }
}
