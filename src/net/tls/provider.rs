//! The cryptography behind TLS.

use std::sync::{Arc, LazyLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs, ring};

/// The ciphers of ring with the key exchange and the signatures of aws-lc-rs, each where it is the faster
/// one: sealing 16 KiB with AES-256-GCM takes ring half the time on processors without AVX-512, X25519
/// takes aws-lc-rs half the time, and only that has X25519MLKEM768. Everything after a handshake of TLS 1.3
/// is sealed elsewhere.
static PROVIDER: LazyLock<Arc<CryptoProvider>> = LazyLock::new(|| {
    let cipher_suites = ring::default_provider().cipher_suites;
    Arc::new(CryptoProvider { cipher_suites, ..aws_lc_rs::default_provider() })
});

/// The one of this process.
pub fn provider() -> Arc<CryptoProvider> {
    Arc::clone(&PROVIDER)
}
