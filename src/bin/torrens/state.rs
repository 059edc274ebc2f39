//! `torrens state`: the region table of a store, now or at an earlier point.

use std::collections::BTreeSet;
use std::io::{self, Write};

use clap::Parser;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Serialize;
use torrens::inspector::{Field, FieldValue, KeyForm, Picture, Point, peer_text};
use torrens::lifecycle::{CacheState, Mode, PeerStage, PeerState, Register};
use torrens::{KeyRange, RegionId};

use crate::exit::{Exit, Failure};
use crate::json::{Fields, Value};
use crate::look;
use crate::output::{Out, note};
use crate::paint::Paint;
use crate::render::{count, printable};
use crate::select::region;
use crate::sheet::{Column, JSON_VERSION, Sheet, left, right};
use crate::stores::{self, Seen};
use crate::view::{Output, Style, Targets, View};

const COLUMNS: [Column; 9] = [
    left("REGION"),
    left("PEER").shown_from(60),
    left("RANGE"),
    left("EPOCH"),
    left("STAGE"),
    left("PEERS").shown_from(60),
    left("CACHE").shown_from(100),
    left("META").shown_from(130),
    right("SINCE").shown_from(110),
];

/// Show the regions of a store, their tombstones and what is still to be cleared.
#[derive(Debug, Parser)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Targets,
    /// The state at this point instead of the newest: 8412, @09:21:07, ~5, boot:-1, ckpt:last, first, durable
    #[arg(long, value_name = "POINT")]
    at: Option<Point>,
    /// Only these regions: 7 or r7
    #[arg(long, value_name = "ID,...", value_delimiter = ',', value_parser = region)]
    region: Vec<RegionId>,
    #[command(flatten)]
    view: View,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    match state(&args) {
        Ok(exit) => exit,
        Err(failure) => failure.report(),
    }
}

fn state(args: &Args) -> Result<Exit, Failure> {
    let gathered = stores::gather(&args.target, &args.view, |one, inspector| {
        let at = args.at.map(|point| inspector.resolve(point)).transpose();
        let at = at.map_err(look::failure)?;
        let picture = inspector.look(at).map_err(look::failure)?;
        let failure = look::verdict_failure(&one.path, &picture.report);
        // Damage before the point is what keeps it from being reached.
        if let Some(failure) = &failure
            && at.is_some_and(|at| at > picture.position)
        {
            return Err(failure.clone());
        }
        // Up to the position that was asked for everything was there, whatever comes behind it.
        Ok((picture, Exit::OK, failure.filter(|_| at.is_none())))
    })?;
    let mut out = Out::lock();
    let seen: Vec<Seen<&Picture>> = gathered.seen.iter().map(Seen::borrowed).collect();
    let written = show(&mut out, &args.region, &seen, &gathered.style);
    Ok(gathered.finish(out, written))
}

/// The regions of registers, as lines for a person or as objects; those of one id side by side.
pub(crate) fn show(
    out: &mut impl Write,
    regions: &[RegionId],
    stores: &[Seen<&Picture>],
    style: &Style,
) -> io::Result<()> {
    let is_several = stores.iter().any(|seen| seen.name.is_some());
    let mut sheet = Sheet::new(style, &stores::columns(is_several, &COLUMNS));
    let is_wanted = |id: RegionId| regions.is_empty() || regions.contains(&id);
    let all = stores
        .iter()
        .flat_map(|seen| seen.what.register.region_ids());
    let ids: BTreeSet<RegionId> = all.filter(|id| is_wanted(*id)).collect();
    for id in ids {
        for seen in stores {
            if let Some(peer) = seen.what.register.peer(id) {
                row(out, &mut sheet, seen, id, peer, style)?;
            }
        }
    }
    if style.is_for_people() && style.fields.is_empty() {
        sheet.end(out)?;
        for seen in stores {
            let (register, prefix) = (&seen.what.register, stores::prefix(seen.name.as_deref()));
            let tombstones = tombstone_lines(register, &is_wanted);
            let deletions = deletion_lines(register, &is_wanted, &style.keys);
            let ends = [
                key_space(register, &style.keys),
                format!("state after LSN {}", seen.what.position),
            ];
            for line in tombstones.chain(deletions).chain(ends) {
                note(out, &format!("{prefix}{line}"), style)?;
            }
        }
        return Ok(());
    }
    if matches!(style.output, Output::Ndjson | Output::Json) && style.fields.is_empty() {
        for seen in stores {
            let dir = seen.name.as_deref();
            more_json(&mut sheet, out, seen.what, &is_wanted, dir, style)?;
        }
    }
    sheet.end(out)
}

/// One region of one store.
fn row(
    out: &mut impl Write,
    sheet: &mut Sheet,
    seen: &Seen<&Picture>,
    id: RegionId,
    peer: &PeerState,
    style: &Style,
) -> io::Result<()> {
    let (register, dir) = (&seen.what.register, seen.name.as_deref());
    let paint = match peer.stage {
        PeerStage::Damaged(_) => Paint::Bad,
        PeerStage::Normal(_) | PeerStage::Witness(_) => Paint::Plain,
        _ => Paint::Warn,
    };
    let cells = || stores::cells(dir, cells(register, id, peer, &style.keys));
    let region = peer.stage.region();
    let range = region.map(|region| FieldValue::from(&region.range));
    let peers =
        region.map(|region| FieldValue::List(region.peers.iter().map(FieldValue::from).collect()));
    let mut json = region_json(
        register,
        id,
        peer,
        range.as_ref(),
        peers.as_ref(),
        &style.keys,
    );
    json.dir = dir;
    sheet.row(out, paint, cells, &json)
}

/// The columns of one region.
fn cells(register: &Register, id: RegionId, peer: &PeerState, keys: &KeyForm) -> Vec<String> {
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
    let stage = match peer.stage.mode() {
        Mode::Serving => peer.stage.name().to_owned(),
        mode => format!("{} ({})", peer.stage.name(), mode.as_str()),
    };
    vec![
        id.to_string(),
        format!("{}{}", peer.peer, peer.incarnation),
        region.map_or_else(none, |region| keys.range(&region.range)),
        region.map_or_else(none, |region| region.epoch.to_string()),
        stage,
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

fn peers(register: &Register) -> impl Iterator<Item = (RegionId, &PeerState)> {
    register
        .region_ids()
        .filter_map(|id| Some((id, register.peer(id)?)))
}

fn tombstone_lines(
    register: &Register,
    is_wanted: &impl Fn(RegionId) -> bool,
) -> impl Iterator<Item = String> {
    let wanted = register.tombstones().filter(|(id, _)| is_wanted(*id));
    wanted.map(|(id, tombstone)| {
        let (peer, epoch, why) = (
            tombstone.highest_peer,
            tombstone.epoch,
            tombstone.cause.as_str(),
        );
        format!("tombstone {id}: every peer up to {peer} is gone, epoch {epoch} ({why})")
    })
}

fn deletion_lines(
    register: &Register,
    is_wanted: &impl Fn(RegionId) -> bool,
    keys: &KeyForm,
) -> impl Iterator<Item = String> {
    let wanted = register
        .deletions()
        .filter(|(_, deletion)| is_wanted(deletion.cause.region()));
    wanted.map(|(id, deletion)| {
        let (range, cause) = (keys.range(&deletion.range), deletion.cause);
        let (why, region) = (cause.as_str(), cause.region());
        format!(
            "pending deletion {id}: {} of {region} ({why})",
            printable(&range)
        )
    })
}

/// What of the key space is owned. Holes are normal: one store has some regions of many.
fn key_space(register: &Register, keys: &KeyForm) -> String {
    let owned = owned(register);
    let shown: Vec<String> = owned.iter().map(|range| keys.range(range)).collect();
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

#[derive(JsonSchema, Serialize)]
struct RegionJson<'a> {
    v: u32,
    region: u64,
    peer: u64,
    incarnation: u64,
    predecessor: Option<u64>,
    stage: &'a str,
    mode: &'a str,
    range: Option<Value<'a>>,
    epoch: EpochJson,
    peers: Option<Value<'a>>,
    cache: &'a str,
    meta_index: Option<u64>,
    meta_term: Option<u64>,
    since_lsn: Option<u64>,
    /// Of several stores: which.
    #[serde(skip_serializing_if = "Option::is_none")]
    dir: Option<&'a str>,
}

#[derive(JsonSchema, Serialize)]
struct EpochJson {
    conf_ver: u64,
    version: u64,
}

#[derive(JsonSchema, Serialize)]
struct TombstoneJson {
    region: u64,
    highest_peer: u64,
    epoch: EpochJson,
    cause: &'static str,
}

#[derive(JsonSchema, Serialize)]
struct DeletionJson<'a> {
    id: String,
    region: u64,
    range: Value<'a>,
    cause: &'static str,
}

fn region_json<'a>(
    register: &Register,
    id: RegionId,
    peer: &'a PeerState,
    range: Option<&'a FieldValue>,
    peers: Option<&'a FieldValue>,
    keys: &'a KeyForm,
) -> RegionJson<'a> {
    let (epoch, meta) = (peer.stage.epoch(), peer.stage.meta_index());
    RegionJson {
        v: JSON_VERSION,
        region: id.0,
        peer: peer.peer.0,
        incarnation: peer.incarnation.lsn().get(),
        predecessor: peer.predecessor.map(|incarnation| incarnation.lsn().get()),
        stage: peer.stage.name(),
        mode: peer.stage.mode().as_str(),
        range: range.map(|range| Value(range, keys)),
        epoch: EpochJson {
            conf_ver: epoch.conf_ver,
            version: epoch.version,
        },
        peers: peers.map(|peers| Value(peers, keys)),
        cache: register.cache_state(id).as_str(),
        meta_index: meta.map(|meta| meta.index),
        meta_term: meta.map(|meta| meta.term),
        since_lsn: register.last_transition(id).map(|lsn| lsn.get()),
        dir: None,
    }
}

/// The objects that are no regions.
fn more_json(
    sheet: &mut Sheet,
    out: &mut impl Write,
    picture: &Picture,
    is_wanted: &impl Fn(RegionId) -> bool,
    dir: Option<&str>,
    style: &Style,
) -> io::Result<()> {
    let register = &picture.register;
    let mut line = |tagged: &Tagged<'_>| sheet.row(out, Paint::Plain, Vec::new, tagged);
    for (id, tombstone) in register.tombstones().filter(|(id, _)| is_wanted(*id)) {
        let epoch = tombstone.epoch;
        line(&Tagged {
            v: JSON_VERSION,
            dir,
            tombstone: Some(TombstoneJson {
                region: id.0,
                highest_peer: tombstone.highest_peer.0,
                epoch: EpochJson {
                    conf_ver: epoch.conf_ver,
                    version: epoch.version,
                },
                cause: tombstone.cause.as_str(),
            }),
            ..Tagged::default()
        })?;
    }
    let deletions = register.deletions();
    for (id, deletion) in deletions.filter(|(_, deletion)| is_wanted(deletion.cause.region())) {
        let range = FieldValue::from(&deletion.range);
        line(&Tagged {
            v: JSON_VERSION,
            dir,
            pending_deletion: Some(DeletionJson {
                id: id.to_string(),
                region: deletion.cause.region().0,
                range: Value(&range, &style.keys),
                cause: deletion.cause.as_str(),
            }),
            ..Tagged::default()
        })?;
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
    line(&Tagged {
        v: JSON_VERSION,
        dir,
        state: Some(Fields(&end, &style.keys)),
        ..Tagged::default()
    })
}

/// A line that is no region.
#[derive(Default, JsonSchema, Serialize)]
struct Tagged<'a> {
    v: u32,
    /// Of several stores: which.
    #[serde(skip_serializing_if = "Option::is_none")]
    dir: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tombstone: Option<TombstoneJson>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pending_deletion: Option<DeletionJson<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Fields<'a>>,
}

/// The schemas of a region and of everything else.
pub(crate) fn schema(generator: &mut SchemaGenerator) -> [Schema; 2] {
    [
        generator.subschema_for::<RegionJson<'_>>(),
        generator.subschema_for::<Tagged<'_>>(),
    ]
}
