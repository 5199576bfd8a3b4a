//! The variables of templates: what of a request, or of where it goes, a rule may repeat.

use std::fmt;
use std::net::IpAddr;

/// What a rule may repeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variable {
    /// The address of the client, the real one behind trusted proxies.
    Client,
    /// The port of the client's connection.
    ClientPort,
    /// `http` or `https`.
    Scheme,
    /// The host asked for, in lower case and without a port.
    Host,
    /// The method.
    Method,
    /// Path and query, as they were sent.
    Target,
    /// The path, normalised and without the query.
    Path,
    /// The query, without its `?`.
    Query,
    /// The name of the route.
    Route,
    /// The name of the upstream.
    Upstream,
    /// The address of the endpoint that has answered; in responses only.
    Endpoint,
    /// The request ID.
    RequestId,
    /// The version of TLS on the client's connection, such as `1.3`.
    TlsVersion,
    /// The server name that the client has asked for by TLS.
    Sni,
    /// The subject of the client's verified certificate.
    ClientCertSubject,
}

impl Variable {
    /// Every one, in the order of the documents.
    pub const ALL: [Self; 15] = [
        Self::Client,
        Self::ClientPort,
        Self::Scheme,
        Self::Host,
        Self::Method,
        Self::Target,
        Self::Path,
        Self::Query,
        Self::Route,
        Self::Upstream,
        Self::Endpoint,
        Self::RequestId,
        Self::TlsVersion,
        Self::Sni,
        Self::ClientCertSubject,
    ];

    /// Its name, without the braces.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::ClientPort => "client_port",
            Self::Scheme => "scheme",
            Self::Host => "host",
            Self::Method => "method",
            Self::Target => "target",
            Self::Path => "path",
            Self::Query => "query",
            Self::Route => "route",
            Self::Upstream => "upstream",
            Self::Endpoint => "endpoint",
            Self::RequestId => "request_id",
            Self::TlsVersion => "tls_version",
            Self::Sni => "sni",
            Self::ClientCertSubject => "client_cert_subject",
        }
    }

    /// The variable of this name.
    pub fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|variable| variable.name() == name)
    }

    /// Whether it is written as a part of a URI and means the same there, with its slashes, question marks
    /// and colons. Anything else is text.
    pub(super) const fn is_of_uris(self) -> bool {
        matches!(self, Self::Host | Self::Target | Self::Path | Self::Query)
    }
}

impl fmt::Display for Variable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}", self.name())
    }
}

/// Some of the variables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VariableSet(u16);

impl VariableSet {
    /// The same with one more.
    #[must_use]
    pub const fn with(self, variable: Variable) -> Self {
        Self(self.0 | 1 << variable as u16)
    }

    /// The same with others.
    #[must_use]
    pub const fn and(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }

    /// Whether this one is among them.
    pub const fn has(self, variable: Variable) -> bool {
        self.0 & 1 << variable as u16 != 0
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Them, in the order of the documents.
    pub fn iter(self) -> impl Iterator<Item = Variable> {
        Variable::ALL.into_iter().filter(move |variable| self.has(*variable))
    }
}

impl FromIterator<Variable> for VariableSet {
    fn from_iter<I: IntoIterator<Item = Variable>>(variables: I) -> Self {
        variables.into_iter().fold(Self::default(), Self::with)
    }
}

/// What the variables say about one request.
pub trait Variables {
    /// Hands over what a variable says, piece by piece; nothing if it says nothing. Nobody has to have
    /// checked the bytes: a template makes them fit where they stand.
    fn write(&self, variable: Variable, part: impl FnMut(&[u8]));

    /// The address that a variable says, if it says one and nothing else: needs no room to be made in, and nothing
    /// about it has to be made fit.
    fn address(&self, variable: Variable) -> Option<IpAddr> {
        let _ = variable;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_has_what_was_put_into_it() {
        let set: VariableSet = [Variable::Sni, Variable::Client].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [Variable::Client, Variable::Sni]);
        assert!(!set.has(Variable::Host) && VariableSet::default().is_empty());
        assert_eq!(VariableSet::from_iter(Variable::ALL).iter().count(), Variable::ALL.len());
    }

    #[test]
    fn each_variable_is_found_by_its_name_alone() {
        for variable in Variable::ALL {
            assert_eq!(Variable::of(variable.name()), Some(variable));
        }
        for other in ["", "HOST", "hos", "host ", "client-port"] {
            assert_eq!(Variable::of(other), None, "{other:?}");
        }
    }
}
