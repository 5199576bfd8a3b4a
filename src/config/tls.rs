//! What TLS listeners show their clients, from flags and file. The files of certificates are read here,
//! so that `--test` and a reload refuse what could not serve.

use std::sync::Arc;
use std::time::Duration;

use super::spanned::Spanned;

use super::entries::{CertificateEntry, CertificateFields};
use super::file::File;
use super::listeners::CollectedListeners;
use super::mistake::{Mistakes, Place};
use super::sources::Sources;
use super::value;
use crate::address::Address;
use crate::app_protocol::AppProtocol;
use crate::net::tls::certificate::Certificate;
use crate::net::tls::certificates::Certificates;
use crate::net::tls::pem::PemFile;
use crate::net::tls::server::{ClientAuth, ClientAuthMode, MinVersion, ServerTls};
use crate::net::tls::tickets::{TicketKeys, random_key};
use crate::net::wall_clock::since_1970;

/// The port of https.
const HTTPS: u16 = 443;

/// What is configured for TLS listeners.
#[derive(Default)]
pub(super) struct Tls {
    /// What they show their clients, if there are any.
    pub(super) server: Option<Arc<ServerTls>>,
    /// The port that plain listeners send clients to.
    pub(super) redirect_https: Option<u16>,
    /// How often to look for changed files.
    pub(super) watch_interval: Option<Duration>,
    /// What is no mistake, but may not be what was meant.
    pub(super) warnings: Vec<String>,
}

impl Tls {
    pub(super) fn of(
        sources: &Sources,
        listeners: &CollectedListeners<'_>,
        mistakes: &mut Mistakes,
    ) -> Self {
        let is_needed = listeners.tls().next().is_some();
        let mut tls = Self {
            redirect_https: redirect_https(sources, listeners, mistakes),
            watch_interval: watch_interval(sources, mistakes),
            ..Self::default()
        };
        let certificates = tls.certificates(sources, mistakes);
        let min_version = min_version(sources, mistakes);
        let client_auth = client_auth(sources, mistakes);
        let no_certificate = sources.flags.cert.is_empty()
            && sources.files().all(|file| file.certificates.is_empty());
        if is_needed && no_certificate {
            let place = sources.place("listen-tls");
            let what = "a certificate is required: write --cert FILE with --key FILE, or in the file \
                        certificates: [{cert: FILE, key: FILE}]";
            mistakes.add(&place, what);
        }
        if !is_needed && !no_certificate {
            let what = "certificates are given, but they are not used: there is no --listen-tls";
            tls.warnings.push(what.to_owned());
        }
        if !is_needed {
            tls.warnings.extend(unused(sources));
        }
        if tls.redirect_https.is_some() && !listeners.any_plain_http() {
            let what = "--redirect-https: there is no plain listener to redirect from (--listen)";
            tls.warnings.push(what.to_owned());
        }
        let certificates = Certificates::new(certificates).filter(|_| is_needed).map(Arc::new);
        tls.warnings.extend(certificates.iter().flat_map(|all| all.never_shown()));
        let keys = || Arc::new(TicketKeys::new(since_1970(), &random_key()));
        tls.server = certificates.and_then(|certificates| {
            let http2 = !sources.flags.no_http2;
            let protocols = if http2 { AppProtocol::BOTH } else { AppProtocol::HTTP1 };
            let server = ServerTls::new(min_version, protocols, client_auth, certificates, keys());
            mistakes.take(&sources.place("listen-tls"), server).map(Arc::new)
        });
        tls
    }

    /// Those of the flags, or else those of the file.
    fn certificates(
        &mut self,
        sources: &Sources,
        mistakes: &mut Mistakes,
    ) -> Vec<Arc<Certificate>> {
        let mut read = self.typed(sources, mistakes);
        for file in sources.files() {
            let written = file.certificates.iter();
            read.extend(written.filter_map(|entry| self.written(entry, file, mistakes)));
        }
        read
    }

    /// The keys in their order belong to the certificates that hold none.
    fn typed(&mut self, sources: &Sources, mistakes: &mut Mistakes) -> Vec<Arc<Certificate>> {
        let (cert, key) = (sources.place("cert"), sources.place("key"));
        let mut read = |texts: &[String], place: &Place| -> Option<Vec<PemFile>> {
            let files = texts.iter().map(|text| mistakes.take(place, pem(place, text)));
            // All of them, for all mistakes at once.
            let files: Vec<_> = files.collect();
            files.into_iter().collect()
        };
        let (chains, keys) = (read(&sources.flags.cert, &cert), read(&sources.flags.key, &key));
        // Which belong together is not known before all can be read.
        let (Some(chains), Some(keys)) = (chains, keys) else { return Vec::new() };
        let mut keys = keys.iter();
        let mut certificates = Vec::new();
        for chain in &chains {
            // A file with a key only is one that was swapped with another.
            let holds_both = chain.key.is_some() && !chain.certificates.is_empty();
            let key = if holds_both { None } else { keys.next() };
            certificates.extend(self.check(chain, key, &cert, mistakes));
        }
        for surplus in keys {
            let what = format!(
                "{}: belongs to no --cert: each of them holds its key, or has been given one",
                surplus.path.display()
            );
            mistakes.add(&key, what);
        }
        certificates
    }

    fn written(
        &mut self,
        entry: &Spanned<CertificateEntry>,
        file: &File,
        mistakes: &mut Mistakes,
    ) -> Option<Arc<Certificate>> {
        let CertificateEntry::Full(CertificateFields { cert, key }) = &entry.value else {
            let what = "a certificate is written as {cert: FILE, key: FILE}";
            mistakes.add(&file.place(entry.referenced), what);
            return None;
        };
        let Some(cert) = cert else {
            mistakes.add(&file.place(entry.referenced), "a certificate needs cert: FILE");
            return None;
        };
        let place = file.place(cert.referenced);
        let chain = mistakes.take(&place, pem(&place, &cert.value));
        let key = key.as_ref().map(|key| {
            let place = file.place(key.referenced);
            mistakes.take(&place, pem(&place, &key.value))
        });
        match (chain, key) {
            (Some(chain), None) => self.check(&chain, None, &place, mistakes),
            (Some(chain), Some(Some(key))) => self.check(&chain, Some(&key), &place, mistakes),
            (None, _) | (_, Some(None)) => None,
        }
    }

    fn check(
        &mut self,
        chain: &PemFile,
        key: Option<&PemFile>,
        place: &Place,
        mistakes: &mut Mistakes,
    ) -> Option<Arc<Certificate>> {
        let certificate = mistakes.take(place, Certificate::new(chain, key))?;
        self.warnings.extend(key.unwrap_or(chain).warning());
        self.warnings.extend(certificate.warning(since_1970()));
        Some(Arc::new(certificate))
    }
}

fn pem(place: &Place, text: &str) -> Result<PemFile, String> {
    if text.is_empty() {
        return Err("\"\" does not name a file".to_owned());
    }
    PemFile::read(&Sources::path(place, text))
}

/// Flags other than those of certificates that mean something to TLS listeners only.
fn unused(sources: &Sources) -> impl Iterator<Item = String> {
    let flags = &sources.flags;
    let given = [
        ("client-ca", flags.client_ca.is_some()),
        // The default is 1.2: to ask for it changes nothing.
        ("tls-min-version", flags.tls_min_version != "1.2"),
    ];
    let given = given.into_iter().filter(|(_, is_given)| *is_given);
    given.map(|(flag, _)| {
        format!("{}: has no effect: there is no --listen-tls", sources.place(flag))
    })
}

fn min_version(sources: &Sources, mistakes: &mut Mistakes) -> MinVersion {
    let version = match &*sources.flags.tls_min_version {
        "1.2" => Ok(MinVersion::Tls12),
        "1.3" => Ok(MinVersion::Tls13),
        other => Err(format!("invalid value {other:?}: expected 1.2 or 1.3")),
    };
    mistakes.note(&sources.place("tls-min-version"), version, MinVersion::Tls13)
}

fn client_auth(sources: &Sources, mistakes: &mut Mistakes) -> Option<ClientAuth> {
    let place = sources.place("client-auth");
    let mode = match sources.flags.client_auth.as_deref() {
        None | Some("required") => Ok(ClientAuthMode::Required),
        Some("optional") => Ok(ClientAuthMode::Optional),
        Some(other) => Err(format!("invalid value {other:?}: expected required or optional")),
    };
    let mode = mistakes.take(&place, mode);
    let Some(ca) = &sources.flags.client_ca else {
        if sources.flags.client_auth.is_some() {
            let what = "requires --client-ca FILE: the authorities that may vouch for clients";
            mistakes.add(&place, what);
        }
        return None;
    };
    let place = sources.place("client-ca");
    let ca = mistakes.take(&place, pem(&place, ca));
    mistakes.take(&place, ClientAuth::new(mode?, &ca?))
}

fn watch_interval(sources: &Sources, mistakes: &mut Mistakes) -> Option<Duration> {
    let interval = match &*sources.flags.watch_certificates {
        "off" => Ok(None),
        text => value::duration(text).map(Some).map_err(|what| format!("{what}, or off")),
    };
    mistakes.note(&sources.place("watch-certificates"), interval, None)
}

/// The port of the first TLS listener that has one, or 0 if the kernel is to choose it; that of a Unix socket
/// is somebody else's, and taken to be the usual one.
fn redirect_https(
    sources: &Sources,
    listeners: &CollectedListeners<'_>,
    mistakes: &mut Mistakes,
) -> Option<u16> {
    if !sources.flags.redirect_https {
        return None;
    }
    let ports = listeners.tls().filter_map(|listener| match &listener.address {
        Address::Tcp(address) => Some(address.port()),
        Address::Unix(_) => None,
    });
    let port = { ports }.next().or_else(|| listeners.tls().next().map(|_| HTTPS));
    if port.is_none() {
        let place = sources.place("redirect-https");
        let listen = place.setting("listen-tls");
        let what = format!("{listen} is required: the address that clients are sent to");
        mistakes.add(&place, what);
    }
    port
}
