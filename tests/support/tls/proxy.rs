//! The balancer under test with a TLS listener.

use std::net::SocketAddr;
use std::ops::{Deref, DerefMut};

use super::authority::{Authority, Files, Identity};
use super::client::{TlsClient, TlsOptions};
use crate::support::{Origin, Proxy, Response};

/// A [`Proxy`] that listens for TLS, and shows a certificate of the shared authority for `localhost`.
pub struct TlsProxy {
    proxy: Proxy,
    /// Where it listens for TLS.
    pub address: SocketAddr,
    _files: Files,
}

impl TlsProxy {
    /// Starts it with these origins behind the route `/`, and with these additional flags.
    pub fn before(origins: &[&Origin], flags: &[&str]) -> Self {
        let addresses: Vec<String> =
            origins.iter().map(|origin| origin.address.to_string()).collect();
        let route = format!("/={}", addresses.join(","));
        let files = Identity::localhost().files();
        let mut words = vec!["--route", route.as_str(), "--listen-tls", "127.0.0.1:0"];
        words.extend(["--cert", &files.cert, "--key", &files.key]);
        words.extend(flags);
        let proxy = Proxy::start_words(&words);
        let address = *proxy.addresses().last().expect("an address");
        Self { proxy, address, _files: files }
    }

    /// A new connection to it, with its handshake done.
    pub fn client(&self) -> TlsClient {
        self.client_with(&TlsOptions::trusting(Authority::shared()))
    }

    /// The same with these options.
    pub fn client_with(&self, options: &TlsOptions) -> TlsClient {
        options.connect(self.address, "localhost")
    }

    /// Sends GET on a new connection.
    pub fn get(&self, path: &str) -> Response {
        let mut client = self.client();
        client.get(path);
        client.response()
    }

    /// Drains it; how many sessions were cut.
    pub fn into_proxy(self) -> Proxy {
        self.proxy
    }
}

impl Deref for TlsProxy {
    type Target = Proxy;

    fn deref(&self) -> &Proxy {
        &self.proxy
    }
}

impl DerefMut for TlsProxy {
    fn deref_mut(&mut self) -> &mut Proxy {
        &mut self.proxy
    }
}
