//! libFuzzer's entry to `torrens_fuzz::must_fail`; an ordinary build makes an empty program of it.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| torrens_fuzz::must_fail(data));

#[cfg(not(fuzzing))]
fn main() {}
