//! Tests of Evener from the outside, one behaviour each, mostly on real sockets.
//!
//! `support` provides the proxy, clients and origins; the first line of every other module says what
//! it covers. Lints about visibility and documentation are meant for the crate, not for its tests.
#![allow(clippy::unwrap_used, missing_docs, unreachable_pub)]

mod access_log;
mod access_log_cut;
mod access_log_target;
mod admin;
mod admin_access;
mod admin_metrics;
mod admin_upgrade;
mod balancing;
mod bodies;
mod chunk_sizes;
mod command;
mod configuration;
mod configuration_empty;
mod configured;
mod conformance;
mod counters;
mod cut;
mod dates;
mod descriptors;
mod drain;
mod early_answers;
mod faults_client;
mod faults_every_byte;
mod faults_upstream;
mod footprint;
mod health;
mod hyper_peers;
mod interim;
mod keepalive;
mod large_heads;
mod leaving;
mod limits;
mod pid_file;
mod process;
mod proxy_header;
mod real_client;
mod refusals;
mod regressions;
mod reload;
mod reload_listeners;
mod reload_plans;
mod replaced;
mod retry;
mod routing;
mod shutdown_delay;
mod signals;
mod smuggling;
mod splice;
mod stale;
mod stuck_worker;
mod support;
mod syscalls;
mod systemd;
mod tcp;
mod tidy;
mod timeouts;
mod tunnel;
mod unavailable;
mod upgrade;
mod upgrade_dies;
mod upgrade_refused;
mod via;
