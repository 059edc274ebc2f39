//! `torrens gate`: what the message gate would have answered at some point.

use clap::Parser;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use torrens::inspector::Point;
use torrens::inspector::catalogue::{Topic, explain_code};
use torrens::inspector::gate::{GateLook, MESSAGE_KINDS, MessageDetails, message_kind};
use torrens::lifecycle::{GateAnswer, MessageHeader};
use torrens::{KeyRange, PeerId, RegionEpoch, RegionId, StoreId};

use crate::exit::{Exit, Failure};
use crate::look;
use crate::output::Out;
use crate::paint::Paint;
use crate::select::{key_range, peer, region, store};
use crate::sheet::{JSON_VERSION, object};
use crate::view::{Target, View};

/// Show what the message gate would have answered at some point, to a message that is described.
#[derive(Debug, Parser)]
#[command(
    after_help = "Nothing is sent and nothing changes: it is the engine's own gate on the register as it was.\n\
As JSON (--msg): {\"type\":\"append\",\"region\":102,\"to_peer\":211,\"from_store\":5,\"from_peer\":212,\"epoch\":[2,2]}.\n\
Exit codes: 0 the message is delivered, creates a peer or has to wait; 1 it is dropped or late; 2 it is no message."
)]
pub(crate) struct Args {
    #[command(flatten)]
    target: Target,
    /// At this point instead of now: 8412, @09:21:07, ~5, boot:-1, ckpt:last
    #[arg(long, value_name = "POINT")]
    at: Option<Point>,
    /// The message as one JSON object, instead of the options below
    #[arg(long, value_name = "JSON")]
    msg: Option<String>,
    /// What it is
    #[arg(long = "type", value_name = "TYPE", value_parser = MESSAGE_KINDS)]
    kind: Option<String>,
    /// Its region: 102 or r102
    #[arg(long, value_name = "ID", value_parser = region)]
    region: Option<RegionId>,
    /// The peer that it is for: 211 or p211
    #[arg(long, value_name = "ID", value_parser = peer)]
    to_peer: Option<PeerId>,
    /// The store that it is for [default: this one]
    #[arg(long, value_name = "ID", value_parser = store)]
    to_store: Option<StoreId>,
    /// The peer that sent it
    #[arg(long, value_name = "ID", value_parser = peer)]
    from_peer: Option<PeerId>,
    /// The store that sent it
    #[arg(long, value_name = "ID", value_parser = store)]
    from_store: Option<StoreId>,
    /// The epoch that the sender knows: c2.v2 or 2,2 (conf_ver, version)
    #[arg(long, value_name = "EPOCH", value_parser = epoch)]
    epoch: Option<RegionEpoch>,
    /// The sender's range, if the message carries it: A..B
    #[arg(long, value_name = "A..B", value_parser = key_range)]
    range: Option<KeyRange>,
    /// It is the first that a new region's leader or candidate sends
    #[arg(long)]
    first: bool,
    /// The commit index of a heartbeat
    #[arg(long, value_name = "INDEX")]
    commit: Option<u64>,
    /// With --type merged: the region that took this one in
    #[arg(long, value_name = "ID", value_parser = region)]
    target_region: Option<RegionId>,
    /// With --type merged: that region's version then
    #[arg(long, value_name = "N")]
    target_version: Option<u64>,
    #[command(flatten)]
    view: View,
}

/// `c2.v2` or `2,2`.
fn epoch(text: &str) -> Result<RegionEpoch, String> {
    let parts = text
        .split_once(',')
        .or_else(|| text.strip_prefix('c')?.split_once(".v"));
    let parse = |part: &str| part.parse::<u64>().ok();
    parts
        .and_then(|(conf_ver, version)| {
            Some(RegionEpoch {
                conf_ver: parse(conf_ver)?,
                version: parse(version)?,
            })
        })
        .ok_or_else(|| format!("{text:?} is no epoch; expected c2.v2 or 2,2 (conf_ver, version)"))
}

/// A message as JSON.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Message {
    #[serde(rename = "type")]
    kind: Option<String>,
    region: Option<u64>,
    #[serde(alias = "to")]
    to_peer: Option<u64>,
    to_store: Option<u64>,
    #[serde(alias = "from")]
    from_peer: Option<u64>,
    from_store: Option<u64>,
    epoch: Option<(u64, u64)>,
    range: Option<String>,
    first: bool,
    commit: Option<u64>,
    target: Option<u64>,
    target_version: Option<u64>,
}

fn wrong(message: String) -> Failure {
    Failure {
        code: "message",
        message,
        hint: Some("torrens gate --help shows what a message is made of".to_owned()),
        exit: Exit::USAGE,
    }
}

impl Args {
    /// The message, from JSON or from the options; an option goes before the JSON.
    fn header(&self) -> Result<MessageHeader, Failure> {
        let json: Message = match &self.msg {
            Some(text) => serde_json::from_str(text)
                .map_err(|error| wrong(format!("--msg is not a message: {error}")))?,
            None => Message::default(),
        };
        let need = |name: &str| wrong(format!("the message has no {name}"));
        let kind = self
            .kind
            .clone()
            .or(json.kind)
            .ok_or_else(|| need("type"))?;
        let target = self.target_region.or(json.target.map(RegionId));
        let version = self.target_version.or(json.target_version).unwrap_or(0);
        let details = MessageDetails {
            is_first: self.first || json.first,
            commit: self.commit.or(json.commit).unwrap_or(0),
            target: target.map(|target| (target, version)),
        };
        let kind = message_kind(&kind, details).ok_or_else(|| match kind.as_str() {
            "merged" => need("target, which `merged` needs"),
            other => wrong(format!(
                "{other:?} is no type; one of {}",
                MESSAGE_KINDS.join(", ")
            )),
        })?;
        let range = match (&self.range, json.range) {
            (Some(range), _) => Some(range.clone()),
            (None, Some(text)) => Some(key_range(&text).map_err(wrong)?),
            (None, None) => None,
        };
        let epoch = json
            .epoch
            .map(|(conf_ver, version)| RegionEpoch { conf_ver, version });
        Ok(MessageHeader {
            region: self
                .region
                .or(json.region.map(RegionId))
                .ok_or_else(|| need("region"))?,
            to_store: self
                .to_store
                .or(json.to_store.map(StoreId))
                .unwrap_or(StoreId(0)),
            to_peer: self
                .to_peer
                .or(json.to_peer.map(PeerId))
                .ok_or_else(|| need("peer that it is for"))?,
            from_store: self
                .from_store
                .or(json.from_store.map(StoreId))
                .unwrap_or(StoreId(0)),
            from_peer: self
                .from_peer
                .or(json.from_peer.map(PeerId))
                .unwrap_or(PeerId(0)),
            epoch: self.epoch.or(epoch).unwrap_or(RegionEpoch::NONE),
            range,
            kind,
        })
    }
}

#[derive(JsonSchema, Serialize)]
struct Json {
    v: u32,
    at_lsn: u64,
    answer: &'static str,
    detail: String,
    meaning: &'static str,
    region_lsn: Option<u64>,
}

/// Runs the command.
pub(crate) fn run(args: Args) -> Exit {
    match gate(&args) {
        Ok(exit) => exit,
        Err(failure) => failure.report(),
    }
}

fn gate(args: &Args) -> Result<Exit, Failure> {
    let header = args.header()?;
    let inspector = args.view.open(&args.target)?;
    let style = args.view.style(&inspector);
    let at = args
        .at
        .map(|point| inspector.resolve(point))
        .transpose()
        .map_err(look::failure)?;
    let picture = inspector.look(at).map_err(look::failure)?;
    let is_short = match at {
        Some(at) => picture.position < at,
        None => !picture.report.verdict.can_open(),
    };
    if let Some(failure) =
        look::verdict_failure(&args.target.path(), &picture.report).filter(|_| is_short)
    {
        return Err(failure);
    }
    let look = torrens::inspector::gate::gate_at(&picture.register, picture.position, &header);
    let code = look.answer.code();
    let entry = explain_code(code)
        .into_iter()
        .find(|entry| entry.topic == Topic::Gate);
    let json = Json {
        v: JSON_VERSION,
        at_lsn: look.at.get(),
        answer: code,
        detail: detail(&look),
        meaning: entry.map_or("", |entry| entry.meaning),
        region_lsn: look.decided_by.map(|lsn| lsn.get()),
    };
    let passes = passes(&look.answer);
    let mut out = Out::lock();
    let written = object(&mut out, &style, &json, |out| {
        let paint = if passes { Paint::Good } else { Paint::Warn };
        let detail = match json.detail.is_empty() {
            true => String::new(),
            false => format!("   {}", json.detail),
        };
        writeln!(out, "{}{detail}", paint.on(code, style.color))?;
        writeln!(out, "{}", json.meaning)?;
        let region = header.region;
        match look.decided_by {
            Some(lsn) => writeln!(out, "at LSN {}, after record {lsn} of {region}", look.at),
            None => writeln!(out, "at LSN {}; {region} was never here", look.at),
        }
    });
    Ok(out.finish(
        written,
        match passes {
            true => Exit::OK,
            false => Exit::NEGATIVE,
        },
    ))
}

/// Whether the message does not go to waste.
fn passes(answer: &GateAnswer) -> bool {
    match answer {
        GateAnswer::Deliver { .. }
        | GateAnswer::Create(_)
        | GateAnswer::Defer(_)
        | GateAnswer::Destroy { .. }
        | GateAnswer::Reply(_) => true,
        GateAnswer::Drop(_) | GateAnswer::Stale(_) => false,
    }
}

/// What the answer names.
fn detail(look: &GateLook) -> String {
    use torrens::lifecycle::{DeferUntil, GateDrop, GateReply};
    match &look.answer {
        GateAnswer::Deliver { incarnation } => format!("to the creation {incarnation}"),
        GateAnswer::Create(permit) => format!("{} of {}", permit.peer, permit.region),
        GateAnswer::Stale(fence) => {
            format!("tombstone up to {} at {}", fence.highest_peer, fence.epoch)
        }
        GateAnswer::Destroy {
            incarnation, peer, ..
        } => format!("{peer}{incarnation}"),
        GateAnswer::Drop(GateDrop::PeerStale { live } | GateDrop::OtherPeer { live }) => {
            format!("{live} lives here")
        }
        GateAnswer::Drop(GateDrop::RangeOverlap { with }) => format!("with {with}"),
        GateAnswer::Drop(_) => String::new(),
        GateAnswer::Defer(DeferUntil::RangeFree { with }) => format!("of {with}"),
        GateAnswer::Defer(DeferUntil::TargetMerged { target }) => format!("into {target}"),
        GateAnswer::Defer(_) => String::new(),
        GateAnswer::Reply(GateReply::Gone { epoch }) => format!("at {epoch}"),
        GateAnswer::Reply(GateReply::Peers(region)) => format!("at {}", region.epoch),
        GateAnswer::Reply(GateReply::MergeTarget { target }) => target.to_string(),
    }
}

/// The schema of the answer.
pub(crate) fn schema(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<Json>()
}
