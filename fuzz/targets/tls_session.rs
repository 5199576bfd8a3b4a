#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| evener::net::tls::fuzz::tls_session(data));
