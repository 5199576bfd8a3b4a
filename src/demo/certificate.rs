//! The certificates of `evener demo --tls`, made for the occasion and in memory only, and of
//! `evener origin --cert`.

use std::fs::File;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, DnType, KeyPair, date_time_ymd};
use rustix::fs::{MemfdFlags, Mode, fchmod, memfd_create};
use rustls::ServerConfig;

use crate::app_protocol::AppProtocol;
use crate::net::tls::certificate::Certificate;
use crate::net::tls::certificates::Certificates;
use crate::net::tls::pem::PemFile;
use crate::net::tls::server::{MinVersion, ServerTls};
use crate::net::tls::tickets::{TicketKeys, random_key};
use crate::net::wall_clock::since_1970;

/// How long it is valid, from an hour ago, for clocks that do not agree.
const VALID: [Duration; 2] = [Duration::from_secs(60 * 60), Duration::from_secs(90 * 24 * 60 * 60)];

/// A self-signed certificate and its key in a file that exists only in memory, as long as this.
#[derive(Debug)]
pub struct DemoCertificate(File);

impl DemoCertificate {
    /// For `localhost` and this address.
    pub fn new(address: IpAddr) -> io::Result<Self> {
        let names = vec!["localhost".to_owned(), address.to_string()];
        let pem = make(names).map_err(io::Error::other)?;
        let mut file = File::from(memfd_create("certificate", MemfdFlags::CLOEXEC)?);
        fchmod(&file, Mode::RUSR | Mode::WUSR)?;
        file.write_all(pem.as_bytes())?;
        Ok(Self(file))
    }

    /// Where this process reads it, as often as it likes.
    pub fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }
}

/// The certificate and its key in PEM.
fn make(names: Vec<String>) -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "Evener demo");
    let now = date_time_ymd(1970, 1, 1) + since_1970();
    (params.not_before, params.not_after) = (now - VALID[0], now + VALID[1]);
    let key = KeyPair::generate()?;
    Ok(params.self_signed(&key)?.pem() + &key.serialize_pem())
}

/// What an origin shows its clients: the certificate in a file, with its key in the same or in another
/// one. The error names the file and says what is wrong.
pub fn load(cert: &str, key: Option<&str>) -> Result<Arc<ServerConfig>, String> {
    let chain = PemFile::read(Path::new(cert))?;
    let key = key.map(|path| PemFile::read(Path::new(path))).transpose()?;
    let certificate = Arc::new(Certificate::new(&chain, key.as_ref())?);
    let certificates = Certificates::new(vec![certificate]).ok_or("there is no certificate")?;
    let keys = Arc::new(TicketKeys::new(since_1970(), &random_key()));
    let (version, protocols) = (MinVersion::Tls12, AppProtocol::BOTH);
    let tls = ServerTls::new(version, protocols, None, Arc::new(certificates), keys);
    tls.map(|tls| tls.config)
}
