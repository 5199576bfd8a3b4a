#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| evener::http::rules::template_fuzz::templates(data));
