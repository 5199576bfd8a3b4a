#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| evener::http::rules::fuzz::conditions(data));
