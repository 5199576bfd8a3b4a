#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| evener::net::tls::record_layer_fuzz::tls_records(data));
