#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| evener::http::h2::frames_fuzz::h2_connection(data));
