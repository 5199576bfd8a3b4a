//! What a request has to be for a route to take it, besides its host and path.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::http::message::field::{is_token, is_value};
use crate::http::message::head::RequestHead;
use crate::http::message::lookup;

/// The conditions of a route, all of which have to hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Its methods; any if empty.
    methods: Methods,
    /// What headers and parameters say, by source and name.
    named: Vec<NamedCondition>,
    /// Networks that clients are in, in their canonical form; any client if empty.
    clients: Vec<IpNet>,
}

/// A request, as far as conditions are about it.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a, 'h, 'b> {
    /// Its head, as it was sent.
    pub head: &'a RequestHead<'h, 'b>,
    /// The address of its client; none of a client that came over a unix socket.
    pub client: Option<IpAddr>,
}

impl Subject<'_, '_, '_> {
    /// Its method. Extended CONNECT (RFC 8441) is what GET is in HTTP/1.1.
    fn method(&self) -> &str {
        if self.head.protocol.is_some() { "GET" } else { self.head.method }
    }
}

/// Methods, as they were written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Methods(Vec<Box<str>>);

impl Methods {
    /// Whether a request of this method is one of theirs. HEAD is where GET is.
    fn take(&self, method: &str) -> bool {
        let has = |wanted: &str| self.0.iter().any(|known| **known == *wanted);
        has(method) || method == "HEAD" && has("GET")
    }

    /// All that a request may have, HEAD after GET.
    pub fn all(&self) -> impl Iterator<Item = &str> {
        let has_head = self.0.iter().any(|known| &**known == "HEAD");
        self.0.iter().flat_map(move |method| {
            let head = (&**method == "GET" && !has_head).then_some("HEAD");
            std::iter::once(&**method).chain(head)
        })
    }

    /// Those that were written.
    pub fn written(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|method| &**method)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Where something is said under a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NamedSource {
    /// In a header, whose name has no case.
    Header,
    /// In a parameter of the query.
    Query,
}

/// A value that is asked for. Of several values of the same name any may be it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WantedValue {
    /// Whatever it is, also an empty one.
    Any,
    /// Exactly this one.
    Exactly(Box<str>),
}

/// What a header or a parameter says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NamedCondition {
    /// Where.
    pub source: NamedSource,
    /// Under which name: that of a header in lower case, as it was written in `shown`.
    pub name: Box<str>,
    /// What.
    pub value: WantedValue,
    /// The name as it was written.
    pub shown: Box<str>,
    /// What is shown instead of the value, if that may be a secret.
    pub hidden: Option<Box<str>>,
}

impl NamedCondition {
    /// The value as it is shown in names, logs and descriptions; `*` for any.
    pub fn shown_value(&self) -> &str {
        match (&self.hidden, &self.value) {
            (Some(hidden), _) => hidden,
            (None, WantedValue::Any) => "*",
            (None, WantedValue::Exactly(value)) => value,
        }
    }

    fn holds(&self, head: &RequestHead<'_, '_>) -> bool {
        match (self.source, &self.value) {
            (NamedSource::Header, WantedValue::Any) => {
                lookup::headers(&head.fields, &self.name).next().is_some()
            }
            (NamedSource::Header, WantedValue::Exactly(wanted)) => {
                lookup::headers(&head.fields, &self.name).any(|value| value == wanted.as_bytes())
            }
            (NamedSource::Query, WantedValue::Any) => {
                lookup::parameters(head.query(), &self.name).next().is_some()
            }
            (NamedSource::Query, WantedValue::Exactly(wanted)) => {
                let mut values = lookup::parameters(head.query(), &self.name);
                values.any(|value| *value == *wanted.as_bytes())
            }
        }
    }
}

/// Why something is no condition; the message says what to write instead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConditionError {
    /// A method is not a token (RFC 9110 §5.6.2).
    Method,
    /// A method that is not written as it is sent.
    MethodCase,
    /// CONNECT, which is refused or is GET.
    Connect,
    /// The name of a header is not a token.
    HeaderName,
    /// Host, which is what routes are found by.
    Host,
    /// No header has such a value.
    HeaderValue,
    /// A name is there already.
    Twice,
    /// A parameter without a name.
    NoName,
}

impl fmt::Display for ConditionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Method => "not a method: write one such as GET",
            Self::MethodCase => "methods have a case: write it in capital letters",
            Self::Connect => "no route takes CONNECT; that of a WebSocket over HTTP/2 counts as GET",
            Self::HeaderName => "not the name of a header: write one such as X-Beta",
            Self::Host => "routes are found by it: write it under host",
            Self::HeaderValue => {
                "no header has such a value: write text without control characters and without spaces around \
                 it, or \"*\" for any"
            }
            Self::Twice => "it is there twice: write it once",
            Self::NoName => "a parameter has a name: write one",
        })
    }
}

impl std::error::Error for ConditionError {}

impl Conditions {
    /// Adds a method that requests may have.
    pub fn add_method(&mut self, method: &str) -> Result<(), ConditionError> {
        const KNOWN: [&str; 8] =
            ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"];
        if !is_token(method.as_bytes()) {
            return Err(ConditionError::Method);
        }
        if method.eq_ignore_ascii_case("CONNECT") {
            return Err(ConditionError::Connect);
        }
        if KNOWN.iter().any(|known| known.eq_ignore_ascii_case(method) && *known != method) {
            return Err(ConditionError::MethodCase);
        }
        if self.methods.0.iter().any(|known| **known == *method) {
            return Err(ConditionError::Twice);
        }
        self.methods.0.push(method.into());
        Ok(())
    }

    /// Adds a header; `*` is any value.
    pub fn add_header(&mut self, name: &str, value: &str) -> Result<(), ConditionError> {
        if !is_token(name.as_bytes()) {
            return Err(ConditionError::HeaderName);
        }
        if name.eq_ignore_ascii_case("host") {
            return Err(ConditionError::Host);
        }
        if value.is_empty() || value.trim_ascii() != value || !is_value(value.as_bytes()) {
            return Err(ConditionError::HeaderValue);
        }
        self.add_named(NamedSource::Header, name, value)
    }

    /// Adds a parameter, name and value as they are when decoded; `*` is any value.
    pub fn add_parameter(&mut self, name: &str, value: &str) -> Result<(), ConditionError> {
        if name.is_empty() {
            return Err(ConditionError::NoName);
        }
        self.add_named(NamedSource::Query, name, value)
    }

    fn add_named(
        &mut self,
        source: NamedSource,
        shown: &str,
        value: &str,
    ) -> Result<(), ConditionError> {
        let name = match source {
            NamedSource::Header => shown.to_ascii_lowercase(),
            NamedSource::Query => shown.to_owned(),
        };
        let key = (source, &*name);
        let place = self.named.binary_search_by(|known| (known.source, &*known.name).cmp(&key));
        let Err(place) = place else { return Err(ConditionError::Twice) };
        let value = match value {
            "*" => WantedValue::Any,
            exactly => WantedValue::Exactly(exactly.into()),
        };
        let (name, shown) = (name.into(), shown.into());
        self.named.insert(place, NamedCondition { source, name, value, shown, hidden: None });
        Ok(())
    }

    /// Has the values of headers and parameters shown as this says, where that is not what they are.
    pub fn hide_values(&mut self, shown: impl Fn(&str) -> String) {
        for named in &mut self.named {
            if let WantedValue::Exactly(value) = &named.value {
                let text = shown(value);
                named.hidden = (text != **value).then(|| text.into());
            }
        }
    }

    /// Adds a network that clients may be in.
    pub fn add_client(&mut self, network: IpNet) {
        self.clients.push(network.trunc());
    }

    /// How many there are: methods are one, clients are one, each header and each parameter is one.
    pub fn count(&self) -> usize {
        usize::from(!self.methods.is_empty())
            + self.named.len()
            + usize::from(!self.clients.is_empty())
    }

    /// Methods that it takes; all if there are none.
    pub fn methods(&self) -> &Methods {
        &self.methods
    }

    /// What headers and parameters have to say.
    pub fn named(&self) -> &[NamedCondition] {
        &self.named
    }

    /// Networks of its clients.
    pub fn clients(&self) -> &[IpNet] {
        &self.clients
    }

    /// Whether all of them hold. Takes no more steps than the head has bytes, for each condition.
    pub fn hold(&self, subject: &Subject<'_, '_, '_>) -> bool {
        self.method_holds(subject) && self.all_but_method_hold(subject)
    }

    fn method_holds(&self, subject: &Subject<'_, '_, '_>) -> bool {
        self.methods.is_empty() || self.methods.take(subject.method())
    }

    /// Whether all hold that are not about the method.
    pub fn all_but_method_hold(&self, subject: &Subject<'_, '_, '_>) -> bool {
        self.client_holds(subject) && self.named.iter().all(|named| named.holds(subject.head))
    }

    fn client_holds(&self, subject: &Subject<'_, '_, '_>) -> bool {
        let is_in = |address: IpAddr| {
            let address = address.to_canonical();
            self.clients.iter().any(|network| network.contains(&address))
        };
        self.clients.is_empty() || subject.client.is_some_and(is_in)
    }

    /// Each of them in words, and whether it holds.
    pub fn each(&self, subject: &Subject<'_, '_, '_>) -> Vec<(String, bool)> {
        let mut each = Vec::new();
        if !self.methods.is_empty() {
            each.push((self.methods_in_words(), self.method_holds(subject)));
        }
        each.extend(self.named.iter().map(|named| (named.to_string(), named.holds(subject.head))));
        if !self.clients.is_empty() {
            each.push((self.clients_in_words(), self.client_holds(subject)));
        }
        each
    }

    fn methods_in_words(&self) -> String {
        format!("method {}", self.methods.0.join(" or "))
    }

    fn clients_in_words(&self) -> String {
        let networks: Vec<String> = self.clients.iter().map(ToString::to_string).collect();
        format!("client in {}", networks.join(" or "))
    }

    /// What some request may be that fulfils both.
    pub fn overlap(&self, other: &Self) -> Overlap {
        let either_is_empty = self.methods.is_empty() || other.methods.is_empty();
        if !either_is_empty && !self.methods.all().any(|method| other.methods.take(method)) {
            return Overlap::None;
        }
        let wanted: BTreeMap<_, _> =
            other.named.iter().map(|named| ((named.source, &named.name), &named.value)).collect();
        let differ = |named: &NamedCondition| match wanted.get(&(named.source, &named.name)) {
            Some(value) => {
                **value != named.value && ![*value, &named.value].contains(&&WantedValue::Any)
            }
            None => false,
        };
        if self.named.iter().any(differ) {
            return Overlap::None;
        }
        if self.clients.is_empty() || other.clients.is_empty() {
            return Overlap::Some;
        }
        let meet = |a: &IpNet, b: &IpNet| a.contains(b) || b.contains(a);
        if !self.clients.iter().any(|a| other.clients.iter().any(|b| meet(a, b))) {
            return Overlap::None;
        }
        let are_within = |inner: &[IpNet], outer: &[IpNet]| {
            inner.iter().all(|inner| outer.iter().any(|outer| outer.contains(inner)))
        };
        let have_others = are_within(&other.clients, &self.clients);
        let rest_is_same = self.methods == other.methods && self.named == other.named;
        match (have_others, rest_is_same) {
            (true, _) if are_within(&self.clients, &other.clients) => Overlap::Some,
            (true, true) => Overlap::AllClients,
            _ => Overlap::SomeClients,
        }
    }
}

/// Which requests fulfil the conditions of two routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Overlap {
    /// None. A header or parameter that is repeated with both of two values is let pass: the earlier route
    /// takes such a request.
    None,
    /// Some from networks that overlap, which are not the same.
    SomeClients,
    /// All that fulfil those of the second, whose networks are within those of the first.
    AllClients,
    /// Some.
    Some,
}

impl fmt::Display for NamedCondition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (shown, value) = (&self.shown, self.shown_value());
        match (self.source, &self.value) {
            (NamedSource::Header, WantedValue::Any) => write!(f, "header {shown}"),
            (NamedSource::Header, WantedValue::Exactly(_)) => write!(f, "header {shown}: {value}"),
            (NamedSource::Query, WantedValue::Any) => write!(f, "parameter {shown:?}"),
            (NamedSource::Query, WantedValue::Exactly(_)) => {
                write!(f, "parameter {shown:?} = {value:?}")
            }
        }
    }
}

/// All of them in words.
impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let methods = (!self.methods.is_empty()).then(|| self.methods_in_words());
        let clients = (!self.clients.is_empty()).then(|| self.clients_in_words());
        let named = self.named.iter().map(ToString::to_string);
        let all: Vec<String> = methods.into_iter().chain(named).chain(clients).collect();
        f.write_str(&all.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::h1::parse;
    use crate::http::h1::scan::Limits;
    use crate::http::message::head::Storage;

    #[test]
    fn extended_connect_is_get() {
        let limits = Limits { head_bytes_max: 1024, fields_max: 8 };
        let mut storage = Storage::new();
        let bytes = b"PUT / HTTP/1.1\r\nHost: a\r\n\r\n";
        let mut head = parse::request(bytes, &limits, &mut storage).unwrap();
        let mut conditions = Conditions::default();
        conditions.add_method("GET").unwrap();
        assert!(!conditions.hold(&Subject { head: &head, client: None }));
        (head.method, head.protocol) = ("CONNECT", Some("websocket"));
        assert!(conditions.hold(&Subject { head: &head, client: None }));
    }

    #[test]
    fn a_client_without_an_address_is_in_no_network_and_a_mapped_one_in_its_own() {
        let mut conditions = Conditions::default();
        conditions.add_client("10.1.2.3/8".parse().unwrap());
        let limits = Limits { head_bytes_max: 1024, fields_max: 8 };
        let mut storage = Storage::new();
        let head =
            parse::request(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &limits, &mut storage).unwrap();
        let holds = |client: Option<&str>| {
            let client = client.map(|address| address.parse().unwrap());
            conditions.hold(&Subject { head: &head, client })
        };
        let rows = [None, Some("10.9.9.9"), Some("::ffff:10.9.9.9"), Some("11.0.0.1")].map(holds);
        assert_eq!(rows, [false, true, true, false]);
    }
}
