#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| evener::config::one_pass_fuzz::configuration(data));
