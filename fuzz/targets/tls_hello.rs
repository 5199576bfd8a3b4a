#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| evener::tls_hello::fuzz::tls_hello(data));
