#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| evener::proxy_protocol::fuzz::proxy_protocol(data));
