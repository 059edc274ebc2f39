//! Golden files of bytes as text: sixteen to a line, two digits each.

use std::fmt::Write as _;

pub(crate) fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for line in bytes.chunks(16) {
        for (at, byte) in line.iter().enumerate() {
            let space = if at == 0 { "" } else { " " };
            let _ = write!(text, "{space}{byte:02x}");
        }
        text.push('\n');
    }
    text
}
