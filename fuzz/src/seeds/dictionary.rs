//! The fuzzer's dictionary: words that it would need long to find by itself.

use std::collections::BTreeSet;
use std::fmt::Write;

use torrens::play::{COMMANDS, POINTS};

/// What files of every kind begin with, and the parts of them.
const MAGICS: [&[u8]; 9] = [
    b"TORRENS\x01",
    b"TORMARK\x01",
    b"TORRCKPT",
    b"TORRSNAP",
    b"CHNK",
    b"TAIL",
    b"TGRP",
    b"\0\x10\0\0",
    b"\0\x20\0\0",
];
/// What the scenario language is made of, beside its commands.
const WORDS: [&str; 30] = [
    "\n----\n",
    "#",
    "r1",
    "r2",
    "s1",
    "p10",
    "[,)",
    "[,f)",
    "[f,)",
    "c1.v1",
    "c1.v2",
    "c1.v18446744073709551615",
    "at=6",
    "at=0",
    "at=18446744073709551615",
    "put=b:1",
    "put=\"\\x00\":\"\\xff\"",
    "delete=b",
    "row=b:1",
    "child=r2:p20@s1",
    "boundary=f",
    "peers=p10@s1,p11@s2",
    "epoch=c1.v1",
    "range=[,f)",
    "power",
    "kill",
    "sectors seed=3",
    "operation",
    "nth=1",
    "open\n----\n\nbootstrap r1 peers=p10@s1\n----\n\n",
];

/// As libFuzzer reads it: one word a line, in quotes, with what is no letter as hexadecimal.
pub(super) fn dictionary() -> String {
    let mut words: BTreeSet<Vec<u8>> = MAGICS.iter().map(|magic| magic.to_vec()).collect();
    words.extend(WORDS.iter().map(|word| word.as_bytes().to_vec()));
    for command in COMMANDS.iter().copied().flatten() {
        words.insert(format!("{} ", command.name).into_bytes());
        let arguments = command.args.iter();
        words.extend(arguments.map(|argument| format!(" {}=", argument.name).into_bytes()));
    }
    words.extend(POINTS.iter().map(|point| point.name.as_bytes().to_vec()));
    let mut text = String::new();
    for word in words {
        text.push('"');
        for byte in word {
            match byte {
                b'"' | b'\\' => text.extend(['\\', char::from(byte)]),
                b' '..=b'~' => text.push(char::from(byte)),
                _ => {
                    // Writing into a string does not fail.
                    let _ = write!(text, "\\x{byte:02X}");
                }
            }
        }
        text.push_str("\"\n");
    }
    text
}
