//! The fields of a line that can be chosen, by name.

macro_rules! fields {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// A field of a line. What each says: `docs/access-log.md`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum LogField {
            $($(#[$doc])* $variant,)*
        }

        impl LogField {
            /// All of them, in the order in which a message lists them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its name, in lines and in the configuration.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

fields! {
    /// When the first byte of the request arrived.
    Time = "time",
    /// The client.
    Client = "client",
    /// The address of the connection.
    Peer = "peer",
    /// The method.
    Method = "method",
    /// The target.
    Target = "target",
    /// What the client spoke.
    Protocol = "protocol",
    /// The Referer header.
    Referer = "referer",
    /// The User-Agent header.
    UserAgent = "user_agent",
    /// The host.
    Host = "host",
    /// The request identifier.
    Id = "id",
    /// What was agreed on by TLS.
    Tls = "tls",
    /// The route.
    Route = "route",
    /// The upstream.
    Upstream = "upstream",
    /// The endpoints that were tried.
    Tried = "tried",
    /// The status.
    Status = "status",
    /// Attempts beyond the first.
    Retries = "retries",
    /// Bytes from the client.
    Up = "up",
    /// Bytes to the client.
    Down = "down",
    /// Bytes moved by splice(2).
    Spliced = "spliced",
    /// How long the head took.
    Head = "head",
    /// How long it was queued.
    Queue = "queue",
    /// How long connecting took.
    Connect = "connect",
    /// How long the endpoint took to answer.
    FirstByte = "first_byte",
    /// How long all took.
    Total = "total",
    /// The HTTP/2 stream.
    Stream = "stream",
    /// The status of a gRPC call.
    GrpcStatus = "grpc_status",
    /// How it ended.
    End = "end",
    /// The rule that answered.
    Rule = "rule",
    /// Why the endpoint was picked.
    Picked = "picked",
    /// The share of requests like this one that have a line.
    Sample = "sample",
    /// The trace that it belongs to.
    TraceId = "trace_id",
}

impl LogField {
    /// The field of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|field| field.name() == name)
    }
}
