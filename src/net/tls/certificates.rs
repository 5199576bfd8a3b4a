//! The certificates of a listener, chosen by the name that a client asks for (SNI, RFC 6066 §3).

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::certificate::Certificate;

/// Places in the list of certificates, in its order.
type Places = Vec<usize>;

/// The certificates of a listener. A lookup costs two hashes at most, however many there are.
#[derive(Debug)]
pub struct Certificates {
    all: Box<[Arc<Certificate>]>,
    /// By whole names.
    exact: HashMap<Box<str>, Places>,
    /// By what follows `*.`, which stands for exactly one label (RFC 9525 §6.3).
    wildcards: HashMap<Box<str>, Places>,
    /// For whoever names no host, or one that is unknown.
    default: Places,
}

impl Certificates {
    /// At least one; the first serves whoever names no host or an unknown one.
    pub fn new(all: Vec<Arc<Certificate>>) -> Option<Self> {
        let mut exact: HashMap<Box<str>, Places> = HashMap::new();
        let mut wildcards: HashMap<Box<str>, Places> = HashMap::new();
        for (place, certificate) in all.iter().enumerate() {
            for name in &certificate.names {
                let places = match name.strip_prefix("*.") {
                    Some(rest) => wildcards.entry(rest.into()).or_default(),
                    None => exact.entry(name.clone()).or_default(),
                };
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
        }
        // One with another kind of key may stand beside the first.
        let first = all.first()?;
        let is_for_the_same = |other: &Certificate| other.names == first.names;
        let default = all.iter().enumerate().filter(|(_, other)| is_for_the_same(other));
        let default = default.map(|(place, _)| place).collect();
        Some(Self { all: all.into(), exact, wildcards, default })
    }

    /// What to say of certificates beside which another one is always preferred for the same name: it comes
    /// first, and whoever can verify the one can verify the other.
    pub fn never_shown(&self) -> Vec<String> {
        let mut told = BTreeMap::new();
        let wildcards = self.wildcards.iter().map(|(rest, places)| (format!("*.{rest}"), places));
        let exact = self.exact.iter().map(|(name, places)| (name.to_string(), places));
        for (name, places) in exact.chain(wildcards) {
            for (nth, place) in places.iter().enumerate() {
                let hidden = &self.all[*place];
                let mut before = places[..nth].iter().map(|before| &self.all[*before]);
                let Some(first) = before.find(|first| first.kind.suits_as(hidden.kind)) else {
                    continue;
                };
                let (hidden, first) = (hidden.cert.display(), first.cert.display());
                let warning = format!(
                    "{hidden}: never shown for {name}: {first} comes first, with a key of the same kind"
                );
                told.insert((*place, name.clone()), warning);
            }
        }
        told.into_values().collect()
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Certificate>> {
        self.all.iter()
    }

    /// The one for a name, in lower case, and a client that can verify these signatures: an exact name
    /// before a wildcard, and of several for one name the first that the client can verify.
    pub fn find(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> &Arc<Certificate> {
        let places = self.places(name);
        let fits =
            |place: &&usize| self.all[**place].certified.key.choose_scheme(schemes).is_some();
        let place = match &places[..] {
            [only] => only,
            several => several.iter().find(fits).unwrap_or(&several[0]),
        };
        &self.all[*place]
    }

    /// All that may be shown to a client that asks for this name, in lower case; the first that it can
    /// verify is.
    pub fn candidates(&self, name: Option<&str>) -> impl Iterator<Item = &Arc<Certificate>> {
        self.places(name).iter().map(|place| &self.all[*place])
    }

    fn places(&self, name: Option<&str>) -> &Places {
        name.and_then(|name| self.named(name)).unwrap_or(&self.default)
    }

    fn named(&self, name: &str) -> Option<&Places> {
        self.exact.get(name).or_else(|| {
            let (label, rest) = name.split_once('.')?;
            if label.is_empty() { None } else { self.wildcards.get(rest) }
        })
    }
}

impl ResolvesServerCert for Certificates {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls has made it lower case.
        let found = self.find(hello.server_name(), hello.signature_schemes());
        Some(Arc::clone(&found.certified))
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{Sample, pem_file};
    use super::*;

    const ANY: [SignatureScheme; 2] =
        [SignatureScheme::ECDSA_NISTP256_SHA256, SignatureScheme::ED25519];

    fn certificates(samples: &[Sample]) -> Certificates {
        let read = |(place, sample): (usize, &Sample)| {
            let file = pem_file(&place.to_string(), &format!("{}{}", sample.cert, sample.key));
            Arc::new(Certificate::new(&file, None).unwrap())
        };
        Certificates::new(samples.iter().enumerate().map(read).collect()).unwrap()
    }

    fn found(
        certificates: &Certificates,
        name: Option<&str>,
        schemes: &[SignatureScheme],
    ) -> String {
        certificates.find(name, schemes).cert.display().to_string()
    }

    #[test]
    fn an_exact_name_comes_before_a_wildcard_and_the_first_serves_the_rest() {
        let set = certificates(&[
            Sample::of(&["first.example"]),
            Sample::of(&["*.example", "*.a.example"]),
            Sample::of(&["www.a.example"]),
        ]);
        let rows = [
            (Some("www.a.example"), "2"),
            (Some("b.a.example"), "1"),
            (Some("a.example"), "1"),
            (Some("first.example"), "0"),
            (Some("c.b.a.example"), "0"),
            (Some("example"), "0"),
            (Some(".a.example"), "0"),
            (Some("unknown.test"), "0"),
            (None, "0"),
        ];
        for (name, expected) in rows {
            assert_eq!(found(&set, name, &ANY), expected, "{name:?}");
        }
    }

    #[test]
    fn one_that_is_never_shown_for_a_name_is_told() {
        let set = certificates(&[
            Sample::of(&["a.example", "*.b.example"]),
            Sample::ed25519(&["a.example"]),
            Sample::of(&["c.example", "*.b.example", "a.example"]),
        ]);
        let expected = ["*.b.example", "a.example"].map(|name| {
            format!("2: never shown for {name}: 0 comes first, with a key of the same kind")
        });
        assert_eq!(set.never_shown(), expected);
    }

    #[test]
    fn of_several_for_a_name_the_first_that_the_client_can_verify_is_shown() {
        let set = certificates(&[
            Sample::ed25519(&["a.example"]),
            Sample::of(&["a.example"]),
            Sample::of(&["*.a.example"]),
        ]);
        for name in [Some("a.example"), None] {
            assert_eq!(found(&set, name, &ANY), "0");
            assert_eq!(found(&set, name, &ANY[..1]), "1");
            assert_eq!(found(&set, name, &[SignatureScheme::RSA_PSS_SHA256]), "0");
        }
    }
}
