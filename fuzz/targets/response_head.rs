#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| evener::http::fuzz::response_head(data));
