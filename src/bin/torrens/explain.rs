//! `torrens explain`: why recovery stopped or would stop, with evidence, impact and ways on; and what any
//! code means.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::Parser;
use torrens::inspector::catalogue::{entries, explain_code, near};
use torrens::inspector::explain::{Explanation, RegionImpact};
use torrens_recovery::Verdict;

use crate::exit::{Exit, Failure};
use crate::info::operation;
use crate::look;
use crate::output::{Out, wrapped};
use crate::paint::Paint;
use crate::render::{count, grouped, printable};
use crate::sheet::object;
use crate::verdict::sentence;
use crate::view::{Style, View};
use codes::codes;
use said::json;

mod codes;
mod said;

pub(crate) use codes::code_schema;
pub(crate) use said::schema;

/// Regions and operations that are listed; of more the rest is counted.
const LISTED_MAX: usize = 12;

/// Show why recovery stopped or would stop; or what a code means.
#[derive(Debug, Parser)]
#[command(
    after_help = "Exit codes: those of `torrens verify` for a directory; 0 for a code, 2 if there is no such code."
)]
pub(crate) struct Args {
    /// A store's directory, or a code such as torn-tail, epoch-stale, region.split
    /// [default: $TORRENS_DIR, or the current directory]
    #[arg(value_name = "DIR|CODE")]
    what: Option<PathBuf>,
    /// List every code
    #[arg(long, conflicts_with = "what")]
    codes: bool,
    /// Only the line with the verdict
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    view: View,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    match explain(&args) {
        Ok(exit) => exit,
        Err(failure) => failure.report(),
    }
}

fn explain(args: &Args) -> Result<Exit, Failure> {
    if args.codes {
        return codes(args, entries().collect(), false);
    }
    if let Some(what) = &args.what
        && !what.exists()
        && let Some(code) = what.to_str().filter(|code| !code.contains('/'))
    {
        let found = explain_code(code);
        if !found.is_empty() {
            return codes(args, found, true);
        }
        let near = near(code);
        return Err(Failure {
            code: "unknown-code",
            message: format!(
                "{} is neither a directory nor a code",
                printable(&format!("{code:?}"))
            ),
            hint: Some(match near.is_empty() {
                true => "torrens explain --codes lists them all".to_owned(),
                false => format!(
                    "did you mean {}? torrens explain --codes lists them all",
                    near.join(", ")
                ),
            }),
            exit: Exit::USAGE,
        });
    }
    let of_environment = || std::env::var_os("TORRENS_DIR").map(PathBuf::from);
    let dir = args
        .what
        .clone()
        .or_else(of_environment)
        .unwrap_or_else(|| PathBuf::from("."));
    let inspector = args.view.open_path(&dir)?;
    let style = args.view.style(&inspector);
    let explanation = inspector.explain(&style.keys).map_err(look::failure)?;
    let mut out = Out::lock();
    let json = json(&explanation, &style);
    let written = object(&mut out, &style, &json, |out| {
        screen(out, args, &dir.display().to_string(), &explanation, &style)
    });
    let code = explanation.picture.report.verdict.exit_code();
    Ok(out.finish(written, Exit::of(code)))
}

/// What a region lost, in words.
fn impact_text(one: &RegionImpact) -> String {
    let RegionImpact {
        region,
        known,
        next,
        links_to,
    } = one;
    let show =
        |lsn: &Option<torrens_journal::Lsn>| lsn.map_or("none".to_owned(), |lsn| lsn.to_string());
    match one.is_hit() {
        true => format!(
            "{region} lost at least one record: record {next} follows {}, and the last one that is whole is {}",
            show(links_to),
            show(known)
        ),
        false => format!(
            "{region} lost nothing: record {next} follows {}",
            match known {
                Some(known) => format!("{known}, which is whole"),
                None => "no other record".to_owned(),
            }
        ),
    }
}

fn screen(
    out: &mut dyn Write,
    args: &Args,
    dir: &str,
    explanation: &Explanation,
    style: &Style,
) -> io::Result<()> {
    let report = &explanation.picture.report;
    let verdict = &report.verdict;
    let head = |name: &str| format!("{name:<10} ");
    let name = Paint::of_exit(verdict.exit_code()).on(verdict.name(), style.color);
    let sentence = sentence(report, explanation.picture.writer.is_open);
    // The escape codes take no room on the screen.
    wrapped(
        out,
        &head("verdict"),
        &format!("{name} (exit {}): {sentence}", verdict.exit_code()),
        style,
    )?;
    if args.quiet {
        return Ok(());
    }
    if let Some(stop) = explanation.stop {
        wrapped(out, &head("stop"), &stop.to_string(), style)?;
    }
    if let Some(found) = &explanation.found {
        wrapped(out, &head("found"), found, style)?;
    }
    for (index, evidence) in explanation.evidence.iter().enumerate() {
        let name = if index == 0 { "evidence" } else { "" };
        wrapped(
            out,
            &format!("{}{:>2}  ", head(name), index + 1),
            evidence,
            style,
        )?;
    }
    if let Some(flipped) = &explanation.flipped {
        for candidate in &flipped.candidates {
            let region = candidate
                .region()
                .map_or(String::new(), |region| format!(" of {region}"));
            let detail = candidate.detail(&style.keys);
            let text = format!("{} {}{region}: {detail}", candidate.lsn, candidate.kind);
            wrapped(
                out,
                &head("candidate"),
                text.trim_end_matches([':', ' ']),
                style,
            )?;
        }
    }
    if verdict.is_corruption() {
        impact(out, explanation, style, &head)?;
    }
    if verdict.can_open() {
        operations(out, explanation, style, &head)?;
    }
    ways(out, dir, explanation, style, &head)
}

fn impact(
    out: &mut dyn Write,
    explanation: &Explanation,
    style: &Style,
    head: &impl Fn(&str) -> String,
) -> io::Result<()> {
    let summary = match explanation.far_side {
        Some(first) => {
            let last = explanation.picture.report.last_lsn;
            let lost = first.get().saturating_sub(last.get()).saturating_sub(1);
            format!(
                "{} between LSN {last} and {first}; of the regions, {} hit, {} proven whole by their back links, and \
                 nothing behind the damage speaks of {}",
                count(lost, "lost record"),
                grouped(explanation.regions_hit),
                grouped(explanation.regions_whole),
                grouped(explanation.regions_silent)
            )
        }
        None => format!(
            "whatever was acknowledged behind LSN {} is lost; nothing is left that says which regions it was about",
            explanation.picture.report.last_lsn
        ),
    };
    wrapped(out, &head("impact"), &summary, style)?;
    for one in explanation.impact.iter().take(LISTED_MAX) {
        wrapped(out, &head(""), &impact_text(one), style)?;
    }
    let more =
        (explanation.regions_hit + explanation.regions_whole).saturating_sub(LISTED_MAX as u64);
    match more {
        0 => Ok(()),
        more => wrapped(
            out,
            &head(""),
            &format!(
                "and {} more; -o json lists a hundred",
                count(more, "region")
            ),
            style,
        ),
    }
}

fn operations(
    out: &mut dyn Write,
    explanation: &Explanation,
    style: &Style,
    head: &impl Fn(&str) -> String,
) -> io::Result<()> {
    let open: Vec<String> = explanation
        .open_operations
        .iter()
        .filter_map(|open| operation(open, &style.keys))
        .collect();
    for (index, text) in open.iter().take(LISTED_MAX).enumerate() {
        wrapped(
            out,
            &head(if index == 0 { "ends" } else { "" }),
            text,
            style,
        )?;
    }
    match open.len().saturating_sub(LISTED_MAX) {
        0 => Ok(()),
        more => wrapped(
            out,
            &head(""),
            &format!("and {} more", grouped(more as u64)),
            style,
        ),
    }
}

fn ways(
    out: &mut dyn Write,
    dir: &str,
    explanation: &Explanation,
    style: &Style,
    head: &impl Fn(&str) -> String,
) -> io::Result<()> {
    let report = &explanation.picture.report;
    match &report.verdict {
        Verdict::Clean if explanation.picture.writer.is_open => {
            return wrapped(
                out,
                &head("so"),
                "nothing to do: the store is open and at work",
                style,
            );
        }
        Verdict::Clean | Verdict::TornTail(_) => {
            let replays = count(report.records_replayed, "record");
            let text = format!(
                "nothing to do: opening replays {replays} and goes on with LSN {}",
                report.last_lsn.next().unwrap_or(report.last_lsn)
            );
            return wrapped(out, &head("so"), &text, style);
        }
        _ => {}
    }
    if explanation.ways.is_empty() {
        let text = match &report.verdict {
            Verdict::NewerFormat(_) => "use a version at least as new as the one that wrote it",
            Verdict::Unreadable(_) => {
                "let the device be read first; no repair is offered for what nobody has seen"
            }
            _ if explanation.picture.writer.is_open => {
                "close the store; repairs are offered when nobody has it open"
            }
            _ => "no repair leads to a directory that opens; keep a copy of it",
        };
        return wrapped(out, &head("so"), text, style);
    }
    wrapped(
        out,
        &head("so"),
        &format!(
            "opening refuses. Keep a copy of {dir} before anything else. Ways on, the one that loses least first:"
        ),
        style,
    )?;
    for (way, letter) in explanation.ways.iter().zip('a'..) {
        let text = format!("{}: {}", way.choice, way.loss);
        wrapped(out, &format!("{}{letter}) ", head("")), &text, style)?;
    }
    Ok(())
}
