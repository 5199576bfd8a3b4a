//! Readings for the tests of this room.

use serde_json::{Value, json};

use super::reading::StatusReading;

/// The status of a balancer with an upstream of two endpoints, of which the second is down, and two routes; after so many
/// requests to the first endpoint.
pub(super) fn status(requests: u64) -> Value {
    let pool = json!({"idle": 3, "opened": 1, "reused": 2});
    let latency = json!({"buckets": [[0.001, requests], [0.01, requests], [null, requests]], "sum_seconds": 0, "count": 0});
    json!({
        "version": "1.2.3", "pid": 7, "uptime_seconds": 3725.0, "state": "serving", "ready": true, "unavailable": [],
        "config": {"generation": 4, "loaded_seconds_ago": 1.0, "file": null, "refused": null},
        "connections": {"active": 12, "accepted": 20, "max": 9801, "refused": 0, "accept_errors": 0},
        "requests": {"total": requests, "in_flight": 2, "classes": {"4xx": 0, "5xx": requests / 10}, "retries": 0},
        "latency": latency, "bytes": {"up": 0, "down": 1024 * requests, "spliced": 0},
        "routes": [
            {"route": "/auth", "upstream": "app", "availability": "available", "requests": requests, "classes": {"5xx": 0}, "latency": latency},
            {"route": "/old", "upstream": "", "availability": "available", "requests": 0, "classes": {}, "latency": latency},
        ],
        "upstreams": [{
            "name": "app", "traffic": "http", "policy": "round_robin", "availability": "available", "requests": requests,
            "latency": latency, "ceiling": null,
            "endpoints": [
                {"name": "10.0.0.1:80", "address": "10.0.0.1:80", "weight": 1, "backup": false, "state": "up", "why": null,
                 "since_seconds": null, "until_seconds": null, "requests": requests, "failures": 0, "in_flight": 2, "connections": pool},
                {"name": "b.example:80", "address": "10.0.0.2:80", "weight": 2, "backup": true, "state": "down",
                 "why": "endpoint refused the connection (ECONNREFUSED)", "since_seconds": 61.0, "until_seconds": null,
                 "requests": 0, "failures": 3, "in_flight": 0, "connections": pool},
            ],
        }],
    })
}

/// Reads such a status.
pub(super) fn reading(status: &Value) -> StatusReading {
    StatusReading::parse(status.to_string().as_bytes()).expect("a status")
}
