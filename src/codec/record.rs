//! One record's payload: a version byte, the header, and the body of its kind.
//!
//! Not here: the bodies (`body`).

use bincode::{Decode, Encode};

use super::body::{put_body, take_body};
use super::{CodecError, bytes, wire};
use crate::lifecycle::{Cause, ChangeKind, Record, RecordHeader};
use crate::{RegionId, StoreId};

/// Version of the payload that this code writes.
pub const PAYLOAD_VERSION: u8 = 1;

#[derive(Encode, Decode)]
struct WireHeader {
    wall_clock_micros: u64,
    boot: u32,
    cause: WireCause,
    region: Option<u64>,
    incarnation: Option<u64>,
    previous: Option<u64>,
}

#[derive(Encode, Decode)]
enum WireCause {
    Raft { term: u64, index: u64 },
    Message { from_store: u64 },
    Operator,
    Recovery,
    Collector,
    Host,
    Keeper { why: wire::WireLoad },
}

/// The record's kind and its payload.
///
/// The header's region is taken from the change; [`Record::new`] makes them agree.
pub fn encode(record: &Record) -> (u16, Vec<u8>) {
    let mut payload = Vec::with_capacity(64);
    payload.push(PAYLOAD_VERSION);
    bytes::put(&mut payload, &header_to_wire(record));
    put_body(&mut payload, &record.change);
    (record.change.kind(), payload)
}

/// The record in a payload of that kind. `None` if this code knows neither the kind nor a way to
/// read its version: whether it may be passed over is written in the kind.
///
/// # Errors
/// [`CodecError`] if the kind and version are known and the bytes are not what encoding writes.
pub fn decode(kind: u16, payload: &[u8]) -> Result<Option<Record>, CodecError> {
    let Some(kind) = ChangeKind::from_number(kind) else {
        return Ok(None);
    };
    let (version, mut rest) = payload.split_first().ok_or(CodecError::Empty)?;
    match *version {
        0 => return Err(CodecError::VersionZero),
        PAYLOAD_VERSION => {}
        _ => return Ok(None),
    }
    let wire: WireHeader = bytes::take(&mut rest, "a record's header")?;
    let header = header_from_wire(wire)?;
    let change = take_body(&mut rest, kind, header.region)?;
    bytes::end(rest, kind.name())?;
    Ok(Some(Record { header, change }))
}

/// The header of the record in a payload of that kind, without a look at its body. `None` as for
/// [`decode`].
///
/// # Errors
/// [`CodecError`] if the kind and version are known and the bytes do not begin with a header.
pub fn decode_header(kind: u16, payload: &[u8]) -> Result<Option<RecordHeader>, CodecError> {
    if ChangeKind::from_number(kind).is_none() {
        return Ok(None);
    }
    let (version, mut rest) = payload.split_first().ok_or(CodecError::Empty)?;
    match *version {
        0 => return Err(CodecError::VersionZero),
        PAYLOAD_VERSION => {}
        _ => return Ok(None),
    }
    let wire: WireHeader = bytes::take(&mut rest, "a record's header")?;
    header_from_wire(wire).map(Some)
}

fn header_to_wire(record: &Record) -> WireHeader {
    let header = &record.header;
    let cause = match header.cause {
        Cause::Raft { term, index } => WireCause::Raft { term, index },
        Cause::Message { from_store } => WireCause::Message {
            from_store: from_store.0,
        },
        Cause::Operator => WireCause::Operator,
        Cause::Recovery => WireCause::Recovery,
        Cause::Collector => WireCause::Collector,
        Cause::Host => WireCause::Host,
        Cause::Keeper { why } => WireCause::Keeper { why: why.into() },
    };
    WireHeader {
        wall_clock_micros: header.wall_clock_micros,
        boot: header.boot,
        cause,
        region: record.change.region().map(|region| region.0),
        incarnation: header.incarnation.map(wire::from_incarnation),
        previous: header.previous.map(|lsn| lsn.get()),
    }
}

fn header_from_wire(wire: WireHeader) -> Result<RecordHeader, CodecError> {
    let cause = match wire.cause {
        WireCause::Raft { term, index } => Cause::Raft { term, index },
        WireCause::Message { from_store } => Cause::Message {
            from_store: StoreId(from_store),
        },
        WireCause::Operator => Cause::Operator,
        WireCause::Recovery => Cause::Recovery,
        WireCause::Collector => Cause::Collector,
        WireCause::Host => Cause::Host,
        WireCause::Keeper { why } => Cause::Keeper { why: why.into() },
    };
    Ok(RecordHeader {
        wall_clock_micros: wire.wall_clock_micros,
        boot: wire.boot,
        cause,
        region: wire.region.map(RegionId),
        incarnation: wire.incarnation.map(wire::incarnation).transpose()?,
        previous: wire.previous.map(wire::lsn).transpose()?,
    })
}
