//! The trace, in the JSON that Chrome and Perfetto read: one process for each region, one thread for each
//! creation of its peer and one for its cache, spans for stages, instants for records.
//!
//! Spans of one thread never overlap, which that form forbids: a peer is in one stage at a time.

use std::io::{self, Write};

use serde_json::{Value, json};
use torrens::inspector::timeline::{Span, Timeline};

use super::OfStore;

/// Numbers of processes for one store, where there are several.
const PIDS: u64 = 1 << 32;

pub(super) fn write(out: &mut impl Write, stores: &[OfStore]) -> io::Result<()> {
    let mut first = true;
    let mut event = |out: &mut dyn Write, event: &Value| -> io::Result<()> {
        out.write_all(if std::mem::take(&mut first) {
            b"\n"
        } else {
            b",\n"
        })?;
        serde_json::to_writer(out, event)?;
        Ok(())
    };
    out.write_all(b"{\"displayTimeUnit\":\"ms\",\"traceEvents\":[")?;
    for (index, store) in stores.iter().enumerate() {
        let OfStore { name, timeline, .. } = store;
        // Regions of one store beside those of the others; of one store alone they keep their numbers.
        let first_pid = (index as u64).saturating_mul(PIDS);
        let named = |what: &str| match name.is_empty() {
            true => what.to_owned(),
            false => format!("{name} {what}"),
        };
        event(
            out,
            &json!({"ph": "M", "name": "process_name", "pid": first_pid, "args": {"name": named("store")}}),
        )?;
        for (boot, at) in &timeline.boots {
            event(
                out,
                &json!({
                    "ph": "i", "s": "g", "name": format!("boot {boot}"), "pid": first_pid, "tid": 0, "ts": at.micros,
                    "args": {"lsn": at.lsn.get()},
                }),
            )?;
        }
        for life in &timeline.lives {
            let (pid, peer) = (
                first_pid.saturating_add(life.region.0),
                format!("{}{}", life.peer, life.incarnation),
            );
            // Two threads for each creation: the peer's and its cache's.
            let tid = life.incarnation.lsn().get().saturating_mul(2);
            event(
                out,
                &json!({
                    "ph": "M", "name": "process_name", "pid": pid, "args": {"name": named(&life.region.to_string())},
                }),
            )?;
            event(
                out,
                &json!({
                    "ph": "M", "name": "thread_name", "pid": pid, "tid": tid, "args": {"name": peer},
                }),
            )?;
            for span in &life.stages {
                event(out, &slice(span, timeline, pid, tid))?;
            }
            if !life.caches.is_empty() {
                event(
                    out,
                    &json!({
                        "ph": "M", "name": "thread_name", "pid": pid, "tid": tid + 1,
                        "args": {"name": format!("cache of {peer}")},
                    }),
                )?;
            }
            for span in &life.caches {
                event(out, &slice(span, timeline, pid, tid + 1))?;
            }
            for one in &life.occurrences {
                event(
                    out,
                    &json!({
                        "ph": "i", "s": "t", "name": one.kind, "pid": pid, "tid": tid, "ts": one.at.micros,
                        "args": {"lsn": one.at.lsn.get(), "detail": one.detail, "epoch": one.epoch},
                    }),
                )?;
            }
        }
    }
    let last = stores
        .iter()
        .map(|store| store.folded.position)
        .max()
        .unwrap_or_default();
    write!(out, "\n],\"otherData\":{{\"last_lsn\":{}}}}}\n", last)
}

fn slice(span: &Span, timeline: &Timeline, pid: u64, tid: u64) -> Value {
    let to = span.to.unwrap_or(timeline.end);
    json!({
        "ph": "X", "name": span.name, "pid": pid, "tid": tid, "ts": span.from.micros,
        "dur": to.micros.saturating_sub(span.from.micros),
        "args": {"from_lsn": span.from.lsn.get(), "to_lsn": span.to.map(|to| to.lsn.get())},
    })
}
