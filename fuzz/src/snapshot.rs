//! A snapshot file with the fuzzer's bytes, read as a store reads one from outside.

/// Nothing but a typed answer, within bounded memory.
pub fn snapshot(data: &[u8]) {
    let _ = torrens::snapshot::check_bytes(data);
}
