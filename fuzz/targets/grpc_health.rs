#![no_main]
libfuzzer_sys::fuzz_target!(|data: &[u8]| evener::grpc::fuzz::grpc_health(data));
