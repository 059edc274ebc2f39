//! `torrens state`: the region table of a store, now or after an earlier record.

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use serde::Serialize;
use torrens::inspector::{Field, FieldValue, Picture, peer_text, range_text};
use torrens::lifecycle::{CacheState, PeerState, Register};
use torrens::{KeyRange, RegionId};
use torrens_journal::Lsn;

use crate::exit::{Exit, Failure};
use crate::json::{Fields, Value};
use crate::look;
use crate::output::{Out, is_terminal, width};
use crate::render::{count, cut, printable, table};

const COLUMNS: [&str; 9] = [
    "REGION", "PEER", "RANGE", "EPOCH", "STAGE", "PEERS", "CACHE", "META", "SINCE",
];

/// Show the regions of a store, their tombstones and what is still to be cleared.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    /// The store's directory
    dir: PathBuf,
    /// The state right after this record, instead of the newest
    #[arg(long, value_name = "LSN")]
    at: Option<u64>,
    /// Form of the output [default: table on a terminal, text otherwise]
    #[arg(short, long, value_enum)]
    output: Option<Output>,
}

/// Forms of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// Aligned columns, cut to the width of the terminal
    Table,
    /// Columns separated by TAB, nothing cut
    Text,
    /// One JSON object per line
    Ndjson,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    match state(&args) {
        Ok(exit) => exit,
        Err(failure) => failure.report(),
    }
}

fn state(args: &Args) -> Result<Exit, Failure> {
    let inspector = look::open(&args.dir)?;
    let at = args.at.map(Lsn::new);
    let picture = inspector.look(at).map_err(look::failure)?;
    let failure = look::verdict_failure(&args.dir, &picture.report);
    if let Some(at) = at.filter(|at| *at > picture.position) {
        return Err(match failure {
            Some(failure) => failure,
            None => Failure {
                code: "beyond-end",
                message: format!(
                    "there is no record {at}; the last one is {}",
                    picture.position
                ),
                hint: Some("leave --at out for the newest state".to_owned()),
                exit: Exit::USAGE,
            },
        });
    }
    let output = args.output.unwrap_or(match is_terminal() {
        true => Output::Table,
        false => Output::Text,
    });
    let mut out = Out::lock();
    let written = match output {
        Output::Table => as_table(&mut out, &picture),
        Output::Text => as_text(&mut out, &picture),
        Output::Ndjson => as_ndjson(&mut out, &picture),
    };
    // Up to the position that was asked for everything was there, whatever comes behind it.
    let failure = failure.filter(|_| at.is_none());
    let exit = out.finish(
        written,
        failure.as_ref().map_or(Exit::OK, |failure| failure.exit),
    );
    if let Some(failure) = failure {
        failure.report();
    }
    Ok(exit)
}

/// The columns of one region.
fn cells(register: &Register, id: RegionId, peer: &PeerState) -> [String; 9] {
    let region = peer.stage.region();
    let none = || "-".to_owned();
    let peers = region.map(|region| {
        let peers: Vec<String> = region.peers.iter().map(peer_text).collect();
        peers.join(" ")
    });
    let cache = match register.cache_state(id) {
        CacheState::Absent => none(),
        cache => cache.as_str().to_owned(),
    };
    [
        id.to_string(),
        format!("{}{}", peer.peer, peer.incarnation),
        region.map_or_else(none, |region| range_text(&region.range)),
        region.map_or_else(none, |region| region.epoch.to_string()),
        peer.stage.name().to_owned(),
        peers.unwrap_or_else(none),
        cache,
        peer.stage
            .meta_index()
            .map_or_else(none, |meta| meta.to_string()),
        register
            .last_transition(id)
            .map_or_else(none, |lsn| lsn.to_string()),
    ]
}

fn as_table(out: &mut impl Write, picture: &Picture) -> io::Result<()> {
    let (register, width) = (&picture.register, width());
    let mut regions = table(&COLUMNS, &[8]);
    for (id, peer) in peers(register) {
        regions.add_row(cells(register, id, peer));
    }
    for line in regions.lines() {
        writeln!(out, "{}", cut(&line, width))?;
    }
    for line in tombstone_lines(register).chain(deletion_lines(register)) {
        writeln!(out, "{}", cut(&line, width))?;
    }
    writeln!(out, "{}", cut(&key_space(register), width))?;
    writeln!(out, "state after LSN {}", picture.position)
}

fn as_text(out: &mut impl Write, picture: &Picture) -> io::Result<()> {
    let register = &picture.register;
    writeln!(out, "{}", COLUMNS.join("\t"))?;
    for (id, peer) in peers(register) {
        writeln!(out, "{}", cells(register, id, peer).join("\t"))?;
    }
    for line in tombstone_lines(register).chain(deletion_lines(register)) {
        writeln!(out, "{line}")?;
    }
    writeln!(out, "{}", key_space(register))?;
    writeln!(out, "state after LSN {}", picture.position)
}

fn peers(register: &Register) -> impl Iterator<Item = (RegionId, &PeerState)> {
    register
        .region_ids()
        .filter_map(|id| Some((id, register.peer(id)?)))
}

fn tombstone_lines(register: &Register) -> impl Iterator<Item = String> {
    register.tombstones().map(|(id, tombstone)| {
        let (peer, epoch, why) = (
            tombstone.highest_peer,
            tombstone.epoch,
            tombstone.cause.as_str(),
        );
        format!("tombstone {id}: every peer up to {peer} is gone, epoch {epoch} ({why})")
    })
}

fn deletion_lines(register: &Register) -> impl Iterator<Item = String> {
    register.deletions().map(|(id, deletion)| {
        let (range, cause) = (range_text(&deletion.range), deletion.cause);
        let (why, region) = (cause.as_str(), cause.region());
        format!(
            "pending deletion {id}: {} of {region} ({why})",
            printable(&range)
        )
    })
}

/// What of the key space is owned. Holes are normal: one store has some regions of many.
fn key_space(register: &Register) -> String {
    let owned = owned(register);
    let shown: Vec<String> = owned.iter().map(range_text).collect();
    let regions = peers(register)
        .filter(|(_, peer)| peer.stage.region().is_some())
        .count();
    match shown.as_slice() {
        [] => "key space: nothing is owned".to_owned(),
        shown => {
            let stretches = match shown.len() {
                1 => "1 stretch".to_owned(),
                many => format!("{many} stretches"),
            };
            let regions = count(regions as u64, "region");
            format!(
                "key space: {stretches} owned by {regions}: {}",
                shown.join(", ")
            )
        }
    }
}

/// The owned ranges in key order, neighbours joined.
fn owned(register: &Register) -> Vec<KeyRange> {
    let mut ranges: Vec<KeyRange> = peers(register)
        .filter_map(|(_, peer)| Some(peer.stage.region()?.range.clone()))
        .collect();
    ranges.sort_by(|a, b| a.start().cmp(b.start()));
    let mut joined: Vec<KeyRange> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if last.end() == Some(range.start()) => {
                let whole = KeyRange::new(last.start().clone(), range.end().cloned());
                *last = whole.unwrap_or(range);
            }
            _ => joined.push(range),
        }
    }
    joined
}

#[derive(Serialize)]
struct RegionJson<'a> {
    v: u32,
    region: u64,
    peer: u64,
    incarnation: u64,
    predecessor: Option<u64>,
    stage: &'a str,
    range: Option<Value<'a>>,
    epoch: EpochJson,
    peers: Option<Value<'a>>,
    cache: &'a str,
    meta_index: Option<u64>,
    meta_term: Option<u64>,
    since_lsn: Option<u64>,
}

#[derive(Serialize)]
struct EpochJson {
    conf_ver: u64,
    version: u64,
}

#[derive(Serialize)]
struct TombstoneJson {
    region: u64,
    highest_peer: u64,
    epoch: EpochJson,
    cause: &'static str,
}

#[derive(Serialize)]
struct DeletionJson<'a> {
    id: String,
    region: u64,
    range: Value<'a>,
    cause: &'static str,
}

fn as_ndjson(out: &mut impl Write, picture: &Picture) -> io::Result<()> {
    let register = &picture.register;
    for (id, peer) in peers(register) {
        let region = peer.stage.region();
        let range = region.map(|region| FieldValue::from(&region.range));
        let peers = region
            .map(|region| FieldValue::List(region.peers.iter().map(FieldValue::from).collect()));
        let (epoch, meta) = (peer.stage.epoch(), peer.stage.meta_index());
        let json = RegionJson {
            v: 1,
            region: id.0,
            peer: peer.peer.0,
            incarnation: peer.incarnation.lsn().get(),
            predecessor: peer.predecessor.map(|incarnation| incarnation.lsn().get()),
            stage: peer.stage.name(),
            range: range.as_ref().map(Value),
            epoch: EpochJson {
                conf_ver: epoch.conf_ver,
                version: epoch.version,
            },
            peers: peers.as_ref().map(Value),
            cache: register.cache_state(id).as_str(),
            meta_index: meta.map(|meta| meta.index),
            meta_term: meta.map(|meta| meta.term),
            since_lsn: register.last_transition(id).map(|lsn| lsn.get()),
        };
        line(out, &json)?;
    }
    for (id, tombstone) in register.tombstones() {
        let epoch = tombstone.epoch;
        let tombstone = TombstoneJson {
            region: id.0,
            highest_peer: tombstone.highest_peer.0,
            epoch: EpochJson {
                conf_ver: epoch.conf_ver,
                version: epoch.version,
            },
            cause: tombstone.cause.as_str(),
        };
        line(
            out,
            &Tagged {
                v: 1,
                tombstone: Some(tombstone),
                ..Tagged::default()
            },
        )?;
    }
    for (id, deletion) in register.deletions() {
        let range = FieldValue::from(&deletion.range);
        let pending_deletion = DeletionJson {
            id: id.to_string(),
            region: deletion.cause.region().0,
            range: Value(&range),
            cause: deletion.cause.as_str(),
        };
        line(
            out,
            &Tagged {
                v: 1,
                pending_deletion: Some(pending_deletion),
                ..Tagged::default()
            },
        )?;
    }
    let owned = FieldValue::List(owned(register).iter().map(FieldValue::from).collect());
    let end = [
        Field {
            name: "lsn",
            value: picture.position.get().into(),
        },
        Field {
            name: "owned",
            value: owned,
        },
    ];
    line(
        out,
        &Tagged {
            v: 1,
            state: Some(Fields(&end)),
            ..Tagged::default()
        },
    )
}

/// A line that is no region.
#[derive(Default, Serialize)]
struct Tagged<'a> {
    v: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    tombstone: Option<TombstoneJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_deletion: Option<DeletionJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Fields<'a>>,
}

fn line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}
