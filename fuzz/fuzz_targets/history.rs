//! libFuzzer's entry to `torrens_fuzz::history`; an ordinary build makes an empty program of it.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| torrens_fuzz::history(data));

#[cfg(not(fuzzing))]
fn main() {}
