//! The store's side of a consumer of changes: an observer's feed, sent over a connection, and what comes
//! back on it (acknowledgements, and orders to begin a region anew).
//!
//! The consumer is another process. It may fall behind, vanish and come back: what it did not acknowledge
//! comes again. Not here: what it makes of the items (`copy`).

use std::io;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use torrens::engine::{Ack, AckAnswer, Acker, ObserveError, ObserveOptions, Subscription};
use torrens::observe::{ChangeOp, FeedItem};
use torrens::{
    AddedObserver, Engine, Generation, KeyRange, ObserverId, ObserverName, ObserverPolicy, Rebase,
    RegionId, StartFrom,
};

use crate::server::Context;
use crate::wire::{self, Frame, WireChange, WireItem, WireRange};

/// How many items go in one frame.
const ITEMS_MAX: usize = 64;
/// A frame without items says that the store lives.
const QUIET_MAX: Duration = Duration::from_millis(500);
/// How long an earlier connection of the same consumer may take to be noticed as gone.
const BUSY_WAIT: Duration = Duration::from_millis(200);

/// Serves the feed of the observer of that name until the connection or the store ends. It is registered
/// if it is not yet.
pub fn serve(mut stream: TcpStream, context: &Context, name: &str) -> io::Result<()> {
    let counters = &context.shared.counters;
    let Some(observer) = registered(&context.engine, name) else {
        counters.add("observer", "refused");
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let mut feed = loop {
        match context.engine.observe(observer, ObserveOptions::default()) {
            Ok(feed) => break feed,
            // Sending shows that the consumer still waits.
            Err(ObserveError::Busy { .. }) => wire::send(&mut stream, &Frame::Items(Vec::new()))?,
            Err(error) => return Err(io::Error::other(error)),
        }
        std::thread::sleep(BUSY_WAIT);
    };
    counters.add("observer", "connected");
    let (back, acker) = (stream.try_clone()?, feed.acker());
    let (engine, shared) = (context.engine.clone(), context.shared.clone());
    std::thread::spawn(move || {
        let outcome = take_orders(back, &engine, &acker, |name| {
            shared.counters.add("observer", name);
        });
        drop(outcome);
    });
    let sent = send_items(&mut stream, &mut feed);
    // Whoever reads what comes back ends with it.
    let _ = stream.shutdown(Shutdown::Both);
    sent
}

/// The observer of that name.
fn registered(engine: &Engine, name: &str) -> Option<ObserverId> {
    let name = ObserverName::new(name)?;
    let known = engine.observers().into_iter();
    if let Some(status) = known.into_iter().find(|status| status.name == name) {
        return Some(status.id);
    }
    let everything = vec![KeyRange::all()];
    // The consumer comes before the first client, so there is nothing that it misses.
    let added = engine.add_observer(name, everything, StartFrom::Now, ObserverPolicy::default());
    match added {
        Ok(AddedObserver::Added { observer, .. }) => Some(observer),
        _ => None,
    }
}

fn send_items(stream: &mut TcpStream, feed: &mut Subscription) -> io::Result<()> {
    loop {
        let mut items = Vec::new();
        let first = feed.next_item(Some(QUIET_MAX)).map_err(io::Error::other)?;
        items.extend(first.map(wire_item));
        while items.len() < ITEMS_MAX && !items.is_empty() {
            match feed.try_next().map_err(io::Error::other)? {
                Some(item) => items.push(wire_item(item)),
                None => break,
            }
        }
        wire::send(stream, &Frame::Items(items))?;
    }
}

/// Takes what the consumer says until it goes away.
fn take_orders(
    mut stream: TcpStream,
    engine: &Engine,
    acker: &Acker,
    count: impl Fn(&str),
) -> io::Result<()> {
    // The consumer says something now and then; a connection that is cut ends by the writer's side.
    stream.set_read_timeout(None)?;
    loop {
        match wire::receive(&mut stream)? {
            Frame::Acks(acks) => {
                let acks: Vec<Ack> = acks
                    .into_iter()
                    .map(|(region, generation, index)| Ack {
                        region: RegionId(region),
                        generation: Generation(generation),
                        index,
                    })
                    .collect();
                // All or none: one that names an attachment which ended meanwhile must not keep the
                // others back.
                for ack in acks {
                    match acker.ack(&[ack], false) {
                        Ok(AckAnswer::Acknowledged) => count("acknowledged"),
                        Ok(AckAnswer::Already) => count("acknowledged-already"),
                        Ok(AckAnswer::Refused(_)) => count("ack-refused"),
                        Err(error) => return Err(io::Error::other(error)),
                    }
                }
            }
            Frame::Rescan(region) => {
                let answer =
                    engine.rebase_observer(acker.observer(), &[RegionId(region)], Rebase::Scan);
                match answer {
                    Ok(answer) if answer.holds() => count("rescan"),
                    Ok(_) => count("rescan-refused"),
                    Err(error) => return Err(io::Error::other(error)),
                }
            }
            _ => return Err(io::ErrorKind::InvalidData.into()),
        }
    }
}

fn wire_item(item: FeedItem) -> WireItem {
    let (region, generation) = (item.region().0, item.generation().0);
    let acknowledges = item.acknowledges();
    match item {
        FeedItem::Entry(entry) => {
            let changes = entry
                .changes
                .into_iter()
                .map(|change| match change.change.op {
                    ChangeOp::Put { key, value } => WireChange::Put {
                        key: key.to_vec(),
                        value: value.to_vec(),
                    },
                    ChangeOp::Delete { key } => WireChange::Delete { key: key.to_vec() },
                    ChangeOp::DeleteRange { range } => {
                        WireChange::DeleteRange(WireRange::from(&range))
                    }
                });
            WireItem::Changes {
                region,
                generation,
                index: entry.position.index,
                changes: changes.collect(),
                is_last: entry.is_last,
            }
        }
        FeedItem::Reset {
            range,
            index,
            is_scanned,
            ..
        } => WireItem::Reset {
            region,
            generation,
            range: WireRange::from(&range),
            index,
            is_scanned,
        },
        FeedItem::Rows {
            index,
            rows,
            is_last,
            ..
        } => WireItem::Rows {
            region,
            generation,
            index,
            rows: rows
                .into_iter()
                .map(|row| (row.key.to_vec(), row.value.to_vec()))
                .collect(),
            is_last,
        },
        FeedItem::SnapshotApplied { .. } => WireItem::Replaced { region },
        FeedItem::Invalidated { reason, .. } => WireItem::Invalidated {
            region,
            reason: reason.as_str().to_owned(),
        },
        // Events, progress, and what begins and ends an attachment: nothing that the copy has.
        _ => WireItem::Moved {
            region,
            generation,
            acknowledges,
        },
    }
}
