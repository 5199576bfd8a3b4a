#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| evener::http::lookup_fuzz::lookup(data));
