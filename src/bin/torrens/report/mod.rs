//! `torrens report`: one self-contained page about a store, for a browser, without a network.
//!
//! * `model`: everything that the page says, as one bounded value. * `gather`: where it comes from.
//! * `page.html`, `page.css`, `page.js`: the page itself, which draws that value.

use std::io::Write;
use std::path::PathBuf;

use clap::Parser;
use torrens::inspector::{Inspector, KeyForm};
use torrens_recovery::Verdict;

use crate::exit::{Exit, Failure, chain};
use crate::fresh::Fresh;
use crate::look;
use crate::output::Out;
use crate::progress::{self, ProgressWhen};
use crate::render::printable;
use crate::view::{Keys, Target};
use gather::Scope;

pub(crate) mod gather;
pub(crate) mod model;

/// Write one page about a store for a browser: verdict, regions over time, splits and merges, sizes,
/// rates, caches, observers, records; it needs no network.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// The file to write; `-` is standard output
    #[arg(short, long, value_name = "FILE", default_value = "report.html")]
    output: PathBuf,
    /// Keys; `redact` shows a token instead, the same one for the same key
    #[arg(long, value_enum, value_name = "FORM", default_value_t = Keys::Auto)]
    keys: Keys,
    /// With --keys redact: the same secret gives the same tokens another time [default: $TORRENS_REDACT_WITH, or random]
    #[arg(long, value_name = "SECRET", requires = "keys")]
    redact_with: Option<String>,
    /// Progress on standard error
    #[arg(long, value_enum, value_name = "HOW", default_value_t = ProgressWhen::Auto)]
    progress: ProgressWhen,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    match report(&args) {
        Ok(exit) => exit,
        Err(failure) => failure.report(),
    }
}

fn report(args: &Args) -> Result<Exit, Failure> {
    let path = args.target.only()?;
    let inspector = Inspector::open_packed(&path).map_err(look::failure)?;
    let inspector = inspector.watched(progress::watch(args.progress));
    let keys: KeyForm = args.keys.form(args.redact_with.as_deref());
    let (report, verdict) =
        gather::gather(&inspector, &keys, &Scope::default()).map_err(look::failure)?;
    let page = page(&report, Use::File).map_err(|error| failure(&args.output, &error))?;
    // The page shows damage as it shows everything else; that nothing could be read is a failure.
    let exit = match verdict {
        Verdict::NewerFormat(_) | Verdict::Unreadable(_) => Exit::of(verdict.exit_code()),
        _ => Exit::OK,
    };
    if args.output.as_os_str() == "-" {
        let mut out = Out::lock();
        let written = out.write_all(page.as_bytes());
        return Ok(out.finish(written, exit));
    }
    let fresh = Fresh::over(&args.output, &path)?;
    let written = fresh.file()?.write_all(page.as_bytes());
    written.map_err(|error| failure(&args.output, &error))?;
    fresh.finish()?;
    Ok(exit)
}

fn failure(path: &std::path::Path, error: &dyn std::error::Error) -> Failure {
    Failure {
        code: "output",
        message: format!(
            "cannot write {}: {}",
            printable(&path.display().to_string()),
            chain(error)
        ),
        hint: None,
        exit: Exit::UNREADABLE,
    }
}

/// What a page is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Use {
    /// Everything, in a file.
    File,
    /// Everything, from a server that can be asked again.
    Live,
    /// Regions over time and their records alone, in a file.
    Timeline,
}

/// The page with the report in it.
pub(crate) fn page(report: &model::Report, usage: Use) -> Result<String, serde_json::Error> {
    let data = embedded(&serde_json::to_string(report)?);
    // Whoever writes keys into a store cannot know it, and so cannot name it in a script of their own.
    let hash = blake3::hash(data.as_bytes()).to_hex();
    let nonce = hash.get(..32).unwrap_or_default();
    Ok(include_str!("page.html")
        .replace("@NONCE@", nonce)
        .replace(
            "@CONNECT@",
            match usage {
                Use::Live => "'self'",
                Use::File | Use::Timeline => "'none'",
            },
        )
        .replace("@LIVE@", if usage == Use::Live { "yes" } else { "no" })
        .replace(
            "@SHOW@",
            if usage == Use::Timeline {
                "timeline"
            } else {
                "all"
            },
        )
        .replace("@VERDICT@", report.verdict.name)
        .replace("@CSS@", include_str!("page.css"))
        .replace("@JS@", include_str!("page.js"))
        // Last, so that nothing in the data is taken for a place to fill in.
        .replacen("@DATA@", &data, 1))
}

/// The page of a directory that could not be read. It asks again by itself.
pub(crate) fn page_without_report(failure: &Failure) -> String {
    let escaped = |text: &str| {
        printable(text)
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;")
            .replace('"', "&quot;")
    };
    let css = include_str!("page.css");
    include_str!("unreadable.html")
        .replace("@NONCE@", failure.code)
        .replace("@CSS@", css)
        .replace("@CODE@", failure.code)
        .replace("@HINT@", &escaped(failure.hint.as_deref().unwrap_or("")))
        .replacen("@MESSAGE@", &escaped(&failure.message), 1)
}

/// JSON that cannot end the element it stands in, whatever a key or a path says.
fn embedded(json: &str) -> String {
    json.replace('<', "\\u003c")
        .replace('>', "\\u003e")
        .replace('&', "\\u0026")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_of_the_data_can_end_its_element() {
        let hostile = "</script><script>alert(1)</script><!--&lt;\u{2028}\u{2029}\"'\\";
        let json = serde_json::to_string(hostile).unwrap();
        let safe = embedded(&json);
        assert!(!safe.contains(['<', '>', '&', '\u{2028}', '\u{2029}']));
        assert_eq!(serde_json::from_str::<String>(&safe).unwrap(), hostile);
    }
}
