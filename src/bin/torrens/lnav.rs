//! `torrens lnav-format`: how lnav reads what `dump -o ndjson` writes.

use std::io::Write;

use clap::Parser;
use serde_json::json;

use crate::exit::Exit;
use crate::output::Out;

/// Print the format file by which lnav reads the output of `dump -o ndjson`.
#[derive(Debug, Parser)]
#[command(
    after_help = "For example: torrens lnav-format > torrens.json; lnav -i torrens.json; torrens dump DIR -o ndjson | lnav"
)]
pub(crate) struct Args {}

/// Runs the command.
pub(crate) fn run(_: &Args) -> Exit {
    let number = json!({"kind": "integer", "identifier": true, "foreign-key": true});
    let format = json!({
        "$schema": "https://lnav.org/schemas/format-v1.schema.json",
        "torrens_log": {
            "title": "Torrens journal",
            "description": "Records of a Torrens journal, as torrens dump -o ndjson writes them",
            "file-type": "json",
            "timestamp-field": "ts",
            "body-field": "kind",
            "hide-extra": true,
            "line-format": [
                {"field": "__timestamp__"},
                " ", {"field": "lsn", "min-width": 8, "align": "right"},
                " ", {"field": "kind", "min-width": 24},
                {"prefix": " r", "field": "region", "default-value": ""},
                {"prefix": " p", "field": "peer", "default-value": ""},
                {"prefix": " ", "field": "cause", "default-value": ""},
                {"prefix": " ", "field": "data", "default-value": ""},
            ],
            "value": {
                "v": {"kind": "integer", "hidden": true},
                "lsn": {"kind": "integer", "identifier": true},
                "boot": number,
                "seg": number,
                "off": {"kind": "integer"},
                "len": {"kind": "integer"},
                "group": {"kind": "integer"},
                "durable": {"kind": "boolean"},
                "kind": {"kind": "string", "identifier": true},
                "region": number,
                "peer": number,
                "incarnation": number,
                "epoch": {"kind": "json"},
                "prev_lsn": {"kind": "integer"},
                "cause": {"kind": "json"},
                "data": {"kind": "json"},
                "dir": {"kind": "string", "identifier": true},
            },
        },
    });
    let mut out = Out::lock();
    let written = serde_json::to_writer_pretty(&mut out, &format)
        .map_err(Into::into)
        .and_then(|()| writeln!(out));
    out.finish(written, Exit::OK)
}
