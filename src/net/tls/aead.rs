//! The ciphers of records of TLS 1.3, each by the library that is the faster one on this processor.

use std::sync::LazyLock;

use rustls::{ConnectionTrafficSecrets, Error};

/// The bytes of a nonce (RFC 8446 §5.3).
pub const NONCE_BYTES: usize = 12;

/// The bytes that authenticate a record: the same for all suites here.
pub const TAG_BYTES: usize = 16;

/// The bytes of a record before what is encrypted (RFC 8446 §5.2), which are authenticated, too.
pub const HEADER_BYTES: usize = 5;

/// With AVX-512 aws-lc seals 16 KiB in three quarters of ring's time, since it needs no copy, too; without,
/// ring takes half of aws-lc's.
static LIBRARY: LazyLock<Library> = LazyLock::new(Library::of_processor);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Library {
    AwsLc,
    Ring,
}

impl Library {
    #[cfg(target_arch = "x86_64")]
    fn of_processor() -> Self {
        let has_wide_registers = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512vl");
        let has_wide_ciphers =
            is_x86_feature_detected!("vaes") && is_x86_feature_detected!("vpclmulqdq");
        if has_wide_registers && has_wide_ciphers { Self::AwsLc } else { Self::Ring }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn of_processor() -> Self {
        Self::Ring
    }
}

/// What the suites of TLS 1.3 are named after (RFC 8446 §B.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Cipher {
    Aes128Gcm,
    Aes256Gcm,
    Chacha20Poly1305,
}

/// A cipher with its key. aws-lc-rs wipes the key once it is of no use; ring does not.
pub enum Aead {
    /// By aws-lc-rs, which has it boxed.
    AwsLc(aws_lc_rs::aead::LessSafeKey),
    /// By ring.
    Ring(Box<ring::aead::LessSafeKey>),
}

impl Aead {
    /// With the key of these secrets; and the initialization vector that belongs to it.
    pub fn new(secrets: &ConnectionTrafficSecrets) -> Result<(Self, [u8; NONCE_BYTES]), Error> {
        use ConnectionTrafficSecrets::{Aes128Gcm, Aes256Gcm, Chacha20Poly1305};
        let (cipher, key, vector) = match secrets {
            Aes128Gcm { key, iv } => (Cipher::Aes128Gcm, key, iv),
            Aes256Gcm { key, iv } => (Cipher::Aes256Gcm, key, iv),
            Chacha20Poly1305 { key, iv } => (Cipher::Chacha20Poly1305, key, iv),
            _ => return Err(unusable()),
        };
        let vector = vector.as_ref().try_into().map_err(|_| unusable())?;
        Ok((Self::by(*LIBRARY, cipher, key.as_ref())?, vector))
    }

    fn by(library: Library, cipher: Cipher, key: &[u8]) -> Result<Self, Error> {
        use aws_lc_rs::aead as aws_lc;
        use ring::aead as ring;
        let (by_aws_lc, by_ring) = match cipher {
            Cipher::Aes128Gcm => (&aws_lc::AES_128_GCM, &ring::AES_128_GCM),
            Cipher::Aes256Gcm => (&aws_lc::AES_256_GCM, &ring::AES_256_GCM),
            Cipher::Chacha20Poly1305 => (&aws_lc::CHACHA20_POLY1305, &ring::CHACHA20_POLY1305),
        };
        Ok(match library {
            Library::AwsLc => {
                let key = aws_lc::UnboundKey::new(by_aws_lc, key).map_err(|_| unusable())?;
                Self::AwsLc(aws_lc::LessSafeKey::new(key))
            }
            Library::Ring => {
                let key = ring::UnboundKey::new(by_ring, key).map_err(|_| unusable())?;
                Self::Ring(Box::new(ring::LessSafeKey::new(key)))
            }
        })
    }

    /// AES-128-GCM with a key that is known, by either library.
    #[cfg(test)]
    pub(super) fn known(key: [u8; 16]) -> [Self; 2] {
        [Library::AwsLc, Library::Ring]
            .map(|library| Self::by(library, Cipher::Aes128Gcm, &key).expect("a key"))
    }

    /// Encrypts `plain` and the byte `last` after it into `sealed`, which is a tag longer than both. The
    /// nonce must never have been used with this key.
    pub fn seal(
        &self,
        nonce: [u8; NONCE_BYTES],
        header: [u8; HEADER_BYTES],
        (plain, last): (&[u8], u8),
        sealed: &mut [u8],
    ) -> Result<(), Error> {
        let count = plain.len();
        if sealed.len() != count + 1 + TAG_BYTES {
            return Err(Error::EncryptError);
        }
        match self {
            Self::AwsLc(key) => {
                use aws_lc_rs::aead::{Aad, Nonce};
                let nonce = Nonce::assume_unique_for_key(nonce);
                let (body, rest) = sealed.split_at_mut(count);
                key.seal_out_of_place_scatter(nonce, Aad::from(header), plain, body, &[last], rest)
                    .map_err(|_| Error::EncryptError)
            }
            Self::Ring(key) => {
                use ring::aead::{Aad, Nonce};
                let nonce = Nonce::assume_unique_for_key(nonce);
                let (body, tag) = sealed.split_at_mut(count + 1);
                body[..count].copy_from_slice(plain);
                body[count] = last;
                let made = key.seal_in_place_separate_tag(nonce, Aad::from(header), body);
                tag.copy_from_slice(made.map_err(|_| Error::EncryptError)?.as_ref());
                Ok(())
            }
        }
    }

    /// Verifies `sealed`, and decrypts it where it is: what is left is all of it but the tag.
    pub fn open<'a>(
        &self,
        nonce: [u8; NONCE_BYTES],
        header: [u8; HEADER_BYTES],
        sealed: &'a mut [u8],
    ) -> Result<&'a mut [u8], Error> {
        match self {
            Self::AwsLc(key) => {
                use aws_lc_rs::aead::{Aad, Nonce};
                let nonce = Nonce::assume_unique_for_key(nonce);
                key.open_in_place(nonce, Aad::from(header), sealed).map_err(|_| Error::DecryptError)
            }
            Self::Ring(key) => {
                use ring::aead::{Aad, Nonce};
                let nonce = Nonce::assume_unique_for_key(nonce);
                key.open_in_place(nonce, Aad::from(header), sealed).map_err(|_| Error::DecryptError)
            }
        }
    }

    /// The same into `plain`, which is a tag shorter. After an error nothing in there is of any use.
    pub fn open_into(
        &self,
        nonce: [u8; NONCE_BYTES],
        header: [u8; HEADER_BYTES],
        sealed: &mut [u8],
        plain: &mut [u8],
    ) -> Result<(), Error> {
        if sealed.len() != plain.len() + TAG_BYTES {
            return Err(Error::DecryptError);
        }
        if let Self::AwsLc(key) = self {
            use aws_lc_rs::aead::{Aad, Nonce};
            let nonce = Nonce::assume_unique_for_key(nonce);
            let (body, tag) = sealed.split_at(plain.len());
            return key
                .open_separate_gather(nonce, Aad::from(header), body, tag, plain)
                .map_err(|_| Error::DecryptError);
        }
        plain.copy_from_slice(self.open(nonce, header, sealed)?);
        Ok(())
    }
}

fn unusable() -> Error {
    Error::General("the keys of a cipher cannot be used".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIBRARIES: [Library; 2] = [Library::AwsLc, Library::Ring];

    /// A key of each cipher by each library, the same one.
    fn keys() -> Vec<(Library, Cipher, Aead)> {
        let ciphers =
            [(Cipher::Aes128Gcm, 16), (Cipher::Aes256Gcm, 32), (Cipher::Chacha20Poly1305, 32)];
        let all = LIBRARIES.into_iter().flat_map(|library| ciphers.map(|cipher| (library, cipher)));
        let made = all.map(|(library, (cipher, count))| {
            (library, cipher, Aead::by(library, cipher, &[7; 32][..count]).unwrap())
        });
        made.collect()
    }

    #[test]
    fn what_one_library_seals_both_open_in_place_or_elsewhere() {
        for (library, cipher, sealer) in keys() {
            for (other, _, opener) in keys().into_iter().filter(|of| of.1 == cipher) {
                for count in [0, 1, 15, 16, 17, 1000, 16_384] {
                    let plain: Vec<u8> = (0..=250).cycle().take(count).collect();
                    let mut sealed = vec![0; count + 1 + TAG_BYTES];
                    sealer.seal([5; 12], [6; 5], (&plain, 23), &mut sealed).unwrap();
                    let expected = [&plain[..], &[23]].concat();
                    let mut into = vec![0; count + 1];
                    opener.open_into([5; 12], [6; 5], &mut sealed.clone(), &mut into).unwrap();
                    assert_eq!(into, expected, "{cipher:?} {library:?} {other:?} {count}");
                    assert_eq!(opener.open([5; 12], [6; 5], &mut sealed).unwrap(), &expected[..]);
                }
            }
        }
    }

    #[test]
    fn what_was_changed_is_refused() {
        for (library, cipher, key) in keys() {
            let mut sealed = [0; 3 + 1 + TAG_BYTES];
            key.seal([5; 12], [6; 5], (b"abc", 23), &mut sealed).unwrap();
            for changed in 0..sealed.len() {
                let mut other = sealed;
                other[changed] ^= 1;
                let mut into = [0; 4];
                let opened = key.open_into([5; 12], [6; 5], &mut other.clone(), &mut into);
                assert_eq!(opened, Err(Error::DecryptError), "{library:?} {cipher:?} {changed}");
                assert!(
                    key.open([5; 12], [6; 5], &mut other).is_err(),
                    "{library:?} {cipher:?} {changed}"
                );
            }
            assert_eq!(key.open([5; 12], [7; 5], &mut sealed.clone()), Err(Error::DecryptError));
            assert_eq!(key.open([4; 12], [6; 5], &mut sealed.clone()), Err(Error::DecryptError));
            assert_eq!(key.open([5; 12], [6; 5], &mut sealed[..15]), Err(Error::DecryptError));
        }
    }

    #[test]
    fn room_of_another_size_is_refused() {
        for (_, _, key) in keys() {
            let (mut sealed, mut plain) = ([0; 40], [0; 30]);
            assert!(key.seal([5; 12], [6; 5], (b"abc", 23), &mut sealed).is_err());
            assert!(key.open_into([5; 12], [6; 5], &mut sealed, &mut plain).is_err());
        }
    }
}
