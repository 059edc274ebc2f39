//! `torrens why`: why a region, a peer or a key is in the state that it is in: the chain of records.

use std::io::{self, Write};

use clap::{ArgGroup, Parser};
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use torrens::inspector::diff::{Facet, region_facets};
use torrens::inspector::why::{Question, Reason};
use torrens::inspector::{Folded, Point, parse_key};
use torrens::lifecycle::{GateAnswer, MessageHeader, MessageKind, Register};
use torrens::{Key, PeerId, RegionEpoch, RegionId, StoreId};

use crate::changes::{ChangedJson, changed_text};
use crate::exit::{Exit, Failure};
use crate::look;
use crate::output::{note, width, wrapped};
use crate::paint::Paint;
use crate::record::peer_text;
use crate::render::{count, cut, printable};
use crate::select::{peer, region};
use crate::sheet::{JSON_VERSION, object};
use crate::stores::{self, Looked, One};
use crate::view::{Output, Style, Targets, View};

/// Show why a region, a peer or a key is as it is: the records that made it so.
#[derive(Debug, Parser)]
#[command(
    group = ArgGroup::new("what").required(true),
    after_help = "Exit codes: 0 answered, 1 it was never here (of several stores: in none), 4 to 8 as `torrens verify`."
)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Targets,
    /// This region: 7 or r7
    #[arg(long, value_name = "ID", group = "what", value_parser = region)]
    region: Option<RegionId>,
    /// The region of this peer: 211 or p211
    #[arg(long, value_name = "ID", group = "what", value_parser = peer)]
    peer: Option<PeerId>,
    /// The region that owns this key, or owned it last; 0x… is hexadecimal
    #[arg(long, value_name = "KEY", group = "what", value_parser = parse_key)]
    key: Option<Key>,
    /// As of this point: 8412, @09:21:07, ~5, boot:-1, ckpt:last
    #[arg(long, value_name = "POINT")]
    at: Option<Point>,
    /// Records about its cache too
    #[arg(long)]
    cache: bool,
    #[command(flatten)]
    view: View,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    match why(&args) {
        Ok(exit) => exit,
        Err(failure) => failure.report(),
    }
}

fn why(args: &Args) -> Result<Exit, Failure> {
    let question = match (args.region, args.peer, &args.key) {
        (Some(region), ..) => Question::Region(region),
        (_, Some(peer), _) => Question::Peer(peer),
        (_, _, Some(key)) => Question::Key(Key::clone(key)),
        // The arguments' group demands one.
        (None, None, None) => return Ok(Exit::USAGE),
    };
    stores::each(&args.target, &args.view, |one, out| {
        why_one(args, &question, one, out)
    })
}

fn why_one(
    args: &Args,
    question: &Question,
    one: &One,
    mut out: &mut dyn Write,
) -> Result<Looked, Failure> {
    let inspector = args.view.open_path(&one.path)?;
    let style = args.view.style(&inspector);
    let until = args
        .at
        .map(|point| inspector.resolve(point))
        .transpose()
        .map_err(look::failure)?;
    let answer = inspector
        .why(question, until, args.cache)
        .map_err(look::failure)?;
    let (reason, folded) = &answer;
    let json = json(one, reason, folded, &style);
    let written = object(&mut out, &style, &json, |out| {
        if one.name.is_some() {
            writeln!(out, "{}", Paint::Dim.on(&one.title(), style.color))?;
        }
        screen(out, question, reason, folded, &style)
    });
    let failure = look::folded_failure(&one.path, folded, until);
    let exit = match (&failure, reason.region) {
        (Some(failure), _) => failure.exit,
        (None, Some(_)) => Exit::OK,
        (None, None) => Exit::NEGATIVE,
    };
    Ok(Looked {
        written,
        exit,
        failure,
    })
}

/// What it is now, in one sentence.
fn state_text(register: &Register, region: RegionId) -> String {
    let facets = region_facets(register, region);
    let find = |name: &str| {
        facets
            .iter()
            .find(|(facet, _)| *facet == name)
            .map(|(_, value)| value)
    };
    let text = |facet: &Facet| match facet {
        Facet::Text(text) => text.clone(),
        _ => String::new(),
    };
    match (find("peer"), find("tombstone")) {
        (Some(peer), _) => {
            let stage = find("stage").map(text).unwrap_or_default();
            let mode = find("mode").map_or(String::new(), |mode| format!(", {}", text(mode)));
            let damage = find("damage").map_or(String::new(), |why| format!(": {}", text(why)));
            let epoch = find("epoch").map_or(String::new(), |epoch| format!(" at {}", text(epoch)));
            format!(
                "{region} is here as {}: {stage}{mode}{epoch}{damage}",
                text(peer)
            )
        }
        (None, Some(fence)) => format!("{region} is not here; tombstone {}", text(fence)),
        (None, None) => format!("{region} is not here, and nothing fences it"),
    }
}

/// What a message for a new peer of the region would meet: the way back, in words.
fn way_back(register: &Register, region: RegionId) -> Option<String> {
    if register.peer(region).is_some() {
        return None;
    }
    let fence = register.tombstone(region)?;
    if let Some(target) = fence.merge_target() {
        return Some(format!(
            "it never comes back: its keys are {target}'s since the merge"
        ));
    }
    let peer = PeerId(fence.highest_peer.0.checked_add(1)?);
    let header = MessageHeader {
        region,
        to_store: register.store()?,
        to_peer: peer,
        from_store: StoreId(0),
        from_peer: PeerId(1),
        epoch: fence.epoch,
        range: None,
        kind: MessageKind::Vote { is_first: false },
    };
    let RegionEpoch { conf_ver, version } = fence.epoch;
    match register.gate(&header) {
        GateAnswer::Create(_) => Some(format!(
            "it would come back only by a message for {peer} or a later one, of an epoch not below \
             c{conf_ver}.v{version}"
        )),
        answer => Some(format!(
            "even a message for {peer} would get: {}",
            answer.code()
        )),
    }
}

fn screen(
    mut out: &mut dyn Write,
    question: &Question,
    reason: &Reason,
    folded: &Folded,
    style: &Style,
) -> io::Result<()> {
    let width = match style.output {
        Output::Table => width(),
        _ => usize::MAX,
    };
    let asked = match question {
        Question::Region(region) => region.to_string(),
        Question::Peer(peer) => peer.to_string(),
        Question::Key(key) => format!("key {}", style.keys.quoted(key)),
    };
    let Some(region) = reason.region else {
        return writeln!(
            out,
            "{} was never here, as far as the journal goes back (LSN {})",
            printable(&asked),
            folded.start
        );
    };
    if !matches!(question, Question::Region(_)) {
        writeln!(out, "{} is about {region}", printable(&asked))?;
    }
    let state = printable(&state_text(&folded.register, region));
    writeln!(out, "{}", Paint::Head.on(&cut(&state, width), style.color))?;
    if reason.known_before {
        writeln!(
            out,
            "it was known already where the journal begins, after LSN {}",
            folded.start
        )?;
    }
    writeln!(out, "because")?;
    let widest = reason
        .links
        .iter()
        .map(|link| link.description.lsn.to_string().len())
        .max();
    for (index, link) in reason.links.iter().enumerate() {
        if index == 1 && reason.left_out > 0 {
            writeln!(out, "  … {} left out", count(reason.left_out, "record"))?;
        }
        let said = &link.description;
        let time = match style.time(said.written_micros()) {
            time if time.is_empty() || time == "-" => String::new(),
            time => format!("  {time}"),
        };
        let peer = peer_text(said).map_or(String::new(), |peer| format!(" {peer}"));
        let detail = match said.detail(&style.keys) {
            detail if detail.is_empty() => String::new(),
            detail => format!(": {detail}"),
        };
        let lsn = said.lsn.to_string();
        let by = said.cause_text();
        let line = format!("{}{peer}{detail} ({by})", said.kind);
        let room = widest.unwrap_or(0);
        wrapped(out, &format!("  {lsn:>room$}{time}  "), &line, style)?;
        // Whoever is gone has nothing any more; that needs no list.
        let is_gone = link
            .changed
            .iter()
            .any(|one| one.facet == "peer" && one.after.is_none());
        let changed: Vec<String> = link
            .changed
            .iter()
            .filter(|one| !is_gone || one.facet == "peer" || one.after.is_some())
            .map(|one| changed_text(one, &style.keys))
            .collect();
        if !changed.is_empty() {
            let column = room + 4 + time.chars().count();
            let indent = " ".repeat(if column > width / 2 { 4 } else { column });
            wrapped(out, &format!("{indent}→ "), &changed.join("; "), style)?;
        }
    }
    let last = reason.links.last().map(|link| link.description.lsn);
    match last {
        Some(last) if last < folded.position => writeln!(
            out,
            "since then no record concerns it; the last one is {}",
            folded.position
        )?,
        _ => {}
    }
    if let Some(way_back) = way_back(&folded.register, region) {
        note(&mut out, &way_back, style)?;
    }
    Ok(())
}

#[derive(JsonSchema, Serialize)]
struct Json<'a> {
    v: u32,
    region: Option<u64>,
    state: Option<String>,
    known_before: bool,
    left_out: u64,
    links: Vec<LinkJson<'a>>,
    way_back: Option<String>,
    at_lsn: u64,
    /// Of several stores: which.
    #[serde(skip_serializing_if = "Option::is_none")]
    dir: Option<&'a str>,
}

#[derive(JsonSchema, Serialize)]
struct LinkJson<'a> {
    lsn: u64,
    ts: Option<String>,
    kind: String,
    cause: String,
    detail: String,
    changed: Vec<ChangedJson<'a>>,
}

fn json<'a>(one: &'a One, reason: &Reason, folded: &Folded, style: &'a Style) -> Json<'a> {
    let links = reason.links.iter().map(|link| LinkJson {
        lsn: link.description.lsn.get(),
        ts: link
            .description
            .written_micros()
            .map(torrens::inspector::clock::timestamp),
        kind: link.description.kind.to_string(),
        cause: link.description.cause_text(),
        detail: link.description.detail(&style.keys),
        changed: link
            .changed
            .iter()
            .map(|one| ChangedJson::of(one, &style.keys))
            .collect(),
    });
    Json {
        v: JSON_VERSION,
        region: reason.region.map(|region| region.0),
        state: reason
            .region
            .map(|region| state_text(&folded.register, region)),
        known_before: reason.known_before,
        left_out: reason.left_out,
        links: links.collect(),
        way_back: reason
            .region
            .and_then(|region| way_back(&folded.register, region)),
        at_lsn: folded.position.get(),
        dir: one.name.as_deref(),
    }
}

/// The schema of the answer.
pub(crate) fn schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Json<'_>>()
}
