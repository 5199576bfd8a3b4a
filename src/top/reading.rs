//! What `/status` said, as far as it is shown. What an older or newer Evener does not say is empty.

use serde::Deserialize;
use std::collections::BTreeMap;

/// A histogram: upper bounds in seconds, `None` for none, each with the number of durations up to it.
pub(super) type Buckets = Vec<(Option<f64>, u64)>;

/// One answer of `/status`.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct StatusReading {
    pub(super) version: String,
    pub(super) pid: u32,
    pub(super) uptime_seconds: f64,
    pub(super) state: String,
    #[serde(default)]
    pub(super) unavailable: Vec<String>,
    pub(super) config: ConfigReading,
    pub(super) connections: ConnectionReading,
    pub(super) requests: RequestReading,
    pub(super) latency: LatencyReading,
    pub(super) bytes: ByteReading,
    #[serde(default)]
    pub(super) routes: Vec<RouteReading>,
    #[serde(default)]
    pub(super) upstreams: Vec<UpstreamReading>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ConfigReading {
    pub(super) generation: u64,
    pub(super) refused: Option<String>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ConnectionReading {
    pub(super) active: u64,
    pub(super) max: u64,
    pub(super) accepted: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct RequestReading {
    pub(super) total: u64,
    pub(super) in_flight: u64,
    pub(super) classes: BTreeMap<String, u64>,
    pub(super) retries: u64,
}

#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct LatencyReading {
    pub(super) buckets: Buckets,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct ByteReading {
    pub(super) up: u64,
    pub(super) down: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct RouteReading {
    pub(super) route: String,
    pub(super) upstream: String,
    #[serde(default)]
    pub(super) availability: String,
    pub(super) requests: u64,
    #[serde(default)]
    pub(super) classes: BTreeMap<String, u64>,
    #[serde(default)]
    pub(super) latency: LatencyReading,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct UpstreamReading {
    pub(super) name: String,
    pub(super) traffic: String,
    pub(super) policy: String,
    pub(super) availability: String,
    #[serde(default)]
    pub(super) requests: u64,
    #[serde(default)]
    pub(super) latency: LatencyReading,
    pub(super) ceiling: Option<CeilingReading>,
    pub(super) endpoints: Vec<EndpointReading>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct CeilingReading {
    pub(super) waiting: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct EndpointReading {
    pub(super) name: String,
    pub(super) address: String,
    pub(super) weight: u64,
    pub(super) backup: bool,
    pub(super) state: String,
    pub(super) why: Option<String>,
    pub(super) since_seconds: Option<f64>,
    pub(super) until_seconds: Option<f64>,
    pub(super) requests: u64,
    pub(super) failures: u64,
    pub(super) in_flight: u64,
    pub(super) connections: PoolReading,
    #[serde(default)]
    pub(super) last_failures: Vec<FailureReading>,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct PoolReading {
    pub(super) idle: u64,
}

#[derive(Clone, Debug, Deserialize)]
pub(super) struct FailureReading {
    pub(super) seconds_ago: f64,
    pub(super) what: String,
}

impl StatusReading {
    /// Reads an answer, or says why it is none.
    pub(super) fn parse(body: &[u8]) -> Result<Self, serde_json::Error> {
        serde_json::from_slice(body)
    }
}
