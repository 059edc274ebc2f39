//! The trace, in the JSON that Chrome and Perfetto read: one process for each region, one thread for each
//! creation of its peer and one for its cache, spans for stages, instants for records.
//!
//! Spans of one thread never overlap, which that form forbids: a peer is in one stage at a time.

use std::io::{self, Write};

use serde_json::{Value, json};
use torrens::inspector::Folded;
use torrens::inspector::timeline::{Span, Timeline};

pub(super) fn write(out: &mut impl Write, timeline: &Timeline, folded: &Folded) -> io::Result<()> {
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
    event(
        out,
        &json!({"ph": "M", "name": "process_name", "pid": 0, "args": {"name": "store"}}),
    )?;
    for (boot, at) in &timeline.boots {
        event(
            out,
            &json!({
                "ph": "i", "s": "g", "name": format!("boot {boot}"), "pid": 0, "tid": 0, "ts": at.micros,
                "args": {"lsn": at.lsn.get()},
            }),
        )?;
    }
    for life in &timeline.lives {
        let (pid, peer) = (life.region.0, format!("{}{}", life.peer, life.incarnation));
        // Two threads for each creation: the peer's and its cache's.
        let tid = life.incarnation.lsn().get().saturating_mul(2);
        event(
            out,
            &json!({
                "ph": "M", "name": "process_name", "pid": pid, "args": {"name": life.region.to_string()},
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
    write!(
        out,
        "\n],\"otherData\":{{\"last_lsn\":{}}}}}\n",
        folded.position
    )
}

fn slice(span: &Span, timeline: &Timeline, pid: u64, tid: u64) -> Value {
    let to = span.to.unwrap_or(timeline.end);
    json!({
        "ph": "X", "name": span.name, "pid": pid, "tid": tid, "ts": span.from.micros,
        "dur": to.micros.saturating_sub(span.from.micros),
        "args": {"from_lsn": span.from.lsn.get(), "to_lsn": span.to.map(|to| to.lsn.get())},
    })
}
