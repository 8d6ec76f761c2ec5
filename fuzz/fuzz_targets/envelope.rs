#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| cenote_cache::fuzzing::envelope(input));
