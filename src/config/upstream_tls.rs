//! TLS towards endpoints, from flags and file.

use std::cell::{OnceCell, RefCell};
use std::fmt::{self, Write as _};
use std::rc::Rc;
use std::sync::Arc;

use rustls::pki_types::{DnsName, IpAddr, ServerName};

use super::entries::{Said, UpstreamEntry};
use super::mistake::{Mistakes, Place};
use super::sources::{At, Sources};
use crate::address::Address;
use crate::id::UpstreamId;
use crate::net::tls::client::{OwnCertificate, Roots, UpstreamTls};
use crate::net::tls::pem::PemFile;
use crate::upstream::Upstream;
use crate::upstream::endpoint::Endpoint;
use crate::upstream::endpoint_tls::{TlsDigest, Verification};

/// The path of a file, with the place that names it.
type Named = (String, Place);

/// TLS towards the endpoints of an upstream, as it is written.
#[derive(Clone, Debug, Default)]
pub(super) struct TlsSettings {
    sni: Option<ServerName<'static>>,
    verification: Verification,
    ca: Option<Named>,
    client_cert: Option<Named>,
    client_key: Option<Named>,
    /// What the files hold: read once, however many upstreams go by them, and only for TLS.
    built: Rc<OnceCell<Option<Arc<UpstreamTls>>>>,
}

/// What was found in files, for all upstreams of a configuration.
#[derive(Default)]
pub(super) struct TlsFiles {
    /// The system's roots: read once, and only if they are needed.
    roots: OnceCell<Option<Arc<Roots>>>,
    /// What is no mistake, but may not be what was meant.
    warnings: RefCell<Vec<String>>,
}

impl TlsSettings {
    /// Those for all upstreams, from the flags.
    pub(super) fn of_flags(sources: &Sources, mistakes: &mut Mistakes) -> Self {
        let flags = &sources.flags;
        let named = |flag: &'static str, path: &Option<String>| {
            path.clone().map(|path| (path, sources.place(flag)))
        };
        let sni = flags.upstream_sni.as_deref().map(server_name).transpose();
        let verification =
            if flags.upstream_insecure { Verification::Off } else { Verification::Full };
        let settings = Self {
            sni: mistakes.note(&sources.place("upstream-sni"), sni, None),
            verification,
            ca: named("upstream-ca", &flags.upstream_ca),
            client_cert: named("upstream-cert", &flags.upstream_cert),
            client_key: named("upstream-key", &flags.upstream_key),
            built: Rc::default(),
        };
        if let (Verification::Off, Some((_, place))) = (verification, &settings.ca) {
            mistakes.add(place, "has no effect with --upstream-insecure");
        }
        settings.refuse_half(("--upstream-cert", "--upstream-key"), mistakes);
        settings
    }

    /// These, overridden by those of an entry.
    pub(super) fn with(self, entry: &UpstreamEntry, at: &mut At<'_>) -> Self {
        let sni = |text: &str| server_name(text).map(Some);
        let sni = at.over(entry.sni.as_ref(), sni, self.sni.clone());
        let UpstreamEntry { verify, ca: ca_said, client_cert, client_key, .. } = entry;
        if verify.is_none() && ca_said.is_none() && client_cert.is_none() && client_key.is_none() {
            return Self { sni, ..self };
        }
        let verification = match verify {
            Some(true) => Verification::Full,
            Some(false) => Verification::Off,
            // Roots are there to be gone by.
            None if ca_said.is_some() => Verification::Full,
            None => self.verification,
        };
        let named = |said: &Option<Said>| {
            said.as_ref().map(|said| (said.value.clone(), at.file.place(said.referenced)))
        };
        let pair = (named(client_cert), named(client_key));
        let has_pair = pair.0.is_some() || pair.1.is_some();
        let (client_cert, client_key) =
            if has_pair { pair } else { (self.client_cert, self.client_key) };
        let (ca, built) = (named(ca_said).or(self.ca), Rc::default());
        let settings = Self { sni, verification, ca, client_cert, client_key, built };
        if let (Some(false), Some(ca)) = (verify, ca_said) {
            let what = "ca: has no effect with verify: false";
            at.mistakes.add(&at.file.place(ca.referenced), what);
        }
        settings.refuse_half(("client_cert", "client_key"), at.mistakes);
        settings
    }

    /// Notes a certificate without its key, and a key without its certificate.
    fn refuse_half(&self, names: (&str, &str), mistakes: &mut Mistakes) {
        let (place, missing) = match (&self.client_cert, &self.client_key) {
            (Some((_, place)), None) => (place, names.1),
            (None, Some((_, place))) => (place, names.0),
            _ => return,
        };
        mistakes.add(place, format!("requires {missing}"));
    }

    /// Gives the endpoints that are spoken to over TLS what they need for it.
    pub(super) fn equip(
        &self,
        endpoints: &mut [Endpoint],
        files: &TlsFiles,
        place: &Place,
        mistakes: &mut Mistakes,
    ) {
        for endpoint in endpoints.iter_mut().filter(|known| known.scheme.is_tls()) {
            let name = self.sni.clone().map_or_else(|| own_name(endpoint), Ok);
            let name = mistakes.take(place, name);
            let built = self.built.get_or_init(|| self.build(files, place, mistakes));
            if let (Some(name), Some(built)) = (name, built) {
                endpoint.tls = Some(Arc::new(built.to_endpoint(name, endpoint.protocol())));
            }
        }
    }

    /// What endpoints need for it that are found later. Those that are listed in a file need not be spoken to
    /// over TLS: what is missing for it is no mistake before one is.
    pub(super) fn late(
        &self,
        files: &TlsFiles,
        place: &Place,
        need: LateNeed<'_>,
    ) -> Option<LateTls> {
        let built = match need {
            LateNeed::Certain(mistakes) => {
                self.built.get_or_init(|| self.build(files, place, mistakes)).clone().map(Ok)?
            }
            LateNeed::Possible => {
                let mut mistakes = Mistakes::default();
                match self.build(files, place, &mut mistakes) {
                    Some(built) => Ok(built),
                    None => Err(mistakes.first().unwrap_or_default()),
                }
            }
        };
        Some(LateTls { sni: self.sni.clone(), verification: self.verification, built })
    }

    fn build(
        &self,
        files: &TlsFiles,
        place: &Place,
        mistakes: &mut Mistakes,
    ) -> Option<Arc<UpstreamTls>> {
        let (roots, mut summary) = match (self.verification, &self.ca) {
            (Verification::Off, _) => (None, "NOT verified".to_owned()),
            (Verification::Full, None) => (
                Some(files.system_roots(place, mistakes)?),
                "verified by the system's roots".to_owned(),
            ),
            (Verification::Full, Some((path, place))) => {
                let roots = read(path, place).and_then(|pem| Roots::of_file(&pem));
                let roots = mistakes.take(place, roots)?;
                let (count, digest) = (roots.count(), short(roots.digest()));
                let are = if count == 1 { "1 root" } else { &format!("{count} roots") };
                (Some(Arc::new(roots)), format!("verified by {are} of {path} ({digest})"))
            }
        };
        let own = match (&self.client_cert, &self.client_key) {
            (Some((cert, place)), Some((key, key_place))) => {
                let chain = mistakes.take(place, read(cert, place));
                let secret = mistakes.take(key_place, read(key, key_place));
                let (chain, secret) = (chain?, secret?);
                files.warnings.borrow_mut().extend(secret.warning());
                let own = OwnCertificate::of_files(&chain, &secret);
                let own = mistakes.take(place, own)?;
                let _ = write!(summary, ", client certificate {cert} ({})", short(own.digest()));
                Some(own)
            }
            _ => None,
        };
        let built = UpstreamTls::new(roots, own, &summary).map_err(|error| error.to_string());
        mistakes.take(place, built).map(Arc::new)
    }
}

/// How certain it is that endpoints found later are spoken to over TLS.
pub(super) enum LateNeed<'a> {
    /// They are: what is wrong with it is noted there.
    Certain(&'a mut Mistakes),
    /// They may be.
    Possible,
}

/// TLS to endpoints that are found later.
#[derive(Clone)]
pub(super) struct LateTls {
    sni: Option<ServerName<'static>>,
    pub(super) verification: Verification,
    built: Result<Arc<UpstreamTls>, String>,
}

impl LateTls {
    /// Gives an endpoint what it needs.
    pub(super) fn equip(&self, endpoint: &mut Endpoint) -> Result<(), String> {
        let name = self.sni.clone().map_or_else(|| own_name(endpoint), Ok)?;
        let built = self.built.as_ref().map_err(Clone::clone)?;
        endpoint.tls = Some(Arc::new(built.to_endpoint(name, endpoint.protocol())));
        Ok(())
    }
}

impl fmt::Debug for LateTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LateTls").field("sni", &self.sni).finish_non_exhaustive()
    }
}

impl TlsFiles {
    fn system_roots(&self, place: &Place, mistakes: &mut Mistakes) -> Option<Arc<Roots>> {
        let read = || {
            let roots = Roots::of_system().map_err(|what| {
                format!("{what}: name a file with ca: or --upstream-ca, or install ca-certificates")
            });
            mistakes.take(place, roots).map(Arc::new)
        };
        self.roots.get_or_init(read).clone()
    }
}

/// Notes the keys of an upstream that mean something to endpoints over TLS only, if it has none.
pub(super) fn refuse_unused(entry: &UpstreamEntry, endpoints: &[Endpoint], at: &mut At<'_>) {
    if endpoints.is_empty() || endpoints.iter().any(|known| known.scheme.is_tls()) {
        return;
    }
    let verify = entry.name.as_ref().filter(|_| entry.verify.is_some());
    let said = [
        ("sni", entry.sni.as_ref()),
        ("ca", entry.ca.as_ref()),
        ("verify", verify),
        ("client_cert", entry.client_cert.as_ref()),
        ("client_key", entry.client_key.as_ref()),
    ];
    for (key, said) in said.into_iter().filter_map(|(key, said)| Some((key, said?))) {
        let what = format!("{key}: has no effect without an https:// or h2:// endpoint");
        at.mistakes.add(&at.file.place(said.referenced), what);
    }
}

/// What is no mistake, but may not be what was meant: endpoints that need not prove who they are, keys that
/// everybody can read, and flags for endpoints over TLS where there are none.
pub(super) fn warnings(
    sources: &Sources,
    upstreams: &[Arc<Upstream>],
    late: impl Fn(UpstreamId) -> Option<Verification>,
    files: &TlsFiles,
) -> Vec<String> {
    let tls = |(index, upstream): (usize, &Arc<Upstream>)| {
        let mut known = upstream.endpoints.iter().filter_map(|endpoint| endpoint.tls.as_ref());
        let known = known.next().map(|tls| tls.verification);
        let verification = known.or_else(|| late(UpstreamId::new(index)))?;
        Some((upstream.name.to_string(), verification))
    };
    let known: Vec<_> = upstreams.iter().enumerate().filter_map(tls).collect();
    if known.is_empty() {
        return unused(sources);
    }
    let off = known.iter().filter(|(_, verification)| *verification == Verification::Off);
    let warning = |name| {
        format!(
            "{name}: certificates of endpoints are NOT verified (verify: false): whoever is on the way can \
             read and change everything"
        )
    };
    let unnamed = upstreams.iter().filter_map(|upstream| unnamed(upstream));
    let of_files = files.warnings.borrow();
    off.map(|(name, _)| warning(name)).chain(unnamed).chain(of_files.iter().cloned()).collect()
}

/// An endpoint whose certificate has to be for its address, though it is asked for a host.
fn unnamed(upstream: &Upstream) -> Option<String> {
    let host = upstream.host_header.as_deref()?;
    let is_address = |endpoint: &&Endpoint| {
        endpoint.tls.as_ref().is_some_and(|tls| {
            tls.verification == Verification::Full
                && matches!(tls.server_name, ServerName::IpAddress(_))
        })
    };
    let found = upstream.endpoints.iter().find(is_address)?;
    let bare = host.rsplit_once(':').map_or(host, |(bare, _)| bare);
    Some(format!(
        "{}: the certificate of {found} is verified for its address, not for {host}: write sni: {bare} if that is its name",
        upstream.name
    ))
}

fn unused(sources: &Sources) -> Vec<String> {
    let flags = &sources.flags;
    let is_asked = |url: &String| url.starts_with("https://");
    let of_collector = flags.tracing.otlp.as_ref().is_some_and(is_asked);
    let given = [
        ("upstream-sni", flags.upstream_sni.is_some()),
        ("upstream-ca", flags.upstream_ca.is_some() && !of_collector),
        ("upstream-insecure", flags.upstream_insecure),
        ("upstream-cert", flags.upstream_cert.is_some()),
        ("upstream-key", flags.upstream_key.is_some()),
    ];
    let given = given.into_iter().filter(|(_, is_given)| *is_given);
    let warning = |(flag, _)| {
        format!("{}: has no effect: there is no https:// or h2:// endpoint", sources.place(flag))
    };
    given.map(warning).collect()
}

/// Parses a host name or an IP address.
fn server_name(text: &str) -> Result<ServerName<'static>, String> {
    let wrong = || format!("invalid name {text:?}: expected a host name or an IP address");
    if let Ok(address) = IpAddr::try_from(text) {
        return Ok(ServerName::IpAddress(address));
    }
    // SNI has none (RFC 6066 §3), nor has a certificate.
    let name = text.strip_suffix('.').unwrap_or(text);
    DnsName::try_from(name.to_ascii_lowercase()).map(ServerName::DnsName).map_err(|_| wrong())
}

/// The name that an endpoint's certificate is for, where none is given: the one it was written with.
fn own_name(endpoint: &Endpoint) -> Result<ServerName<'static>, String> {
    let host = match &endpoint.address {
        Address::Unix(_) => Err("has no name that a certificate could be for"),
        Address::Tcp(tcp) => match endpoint.name.rsplit_once(':') {
            Some((host, _)) if !is_address(host) => Ok(host.to_owned()),
            _ => Ok(tcp.ip().to_canonical().to_string()),
        },
    };
    let name = host.map_err(str::to_owned).and_then(|host| server_name(&host));
    name.map_err(|what| format!("{}: {what}: give one with sni: or --upstream-sni", endpoint.name))
}

/// Whether it is an address as it stands in an endpoint, where nothing is every address.
fn is_address(host: &str) -> bool {
    host.is_empty() || host.starts_with('[') || host.parse::<std::net::Ipv4Addr>().is_ok()
}

/// A relative path is that of the configuration file, if it stands there.
fn read(path: &str, place: &Place) -> Result<PemFile, String> {
    PemFile::read(&Sources::path(place, path))
}

/// Enough of a digest to notice that a file has changed.
fn short(TlsDigest(digest): TlsDigest) -> String {
    digest[..4].iter().fold(String::new(), |mut out, byte| {
        let _ = write!(out, "{byte:02x}");
        out
    })
}
