#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| evener::trace::fuzz::traceparent(data));
