//! What Kubernetes' own clients count about their requests to the API server (`rest_client_*`).

use std::time::Duration;

use prometheus::{Gauge, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, Result};

use super::{Metrics, registrar::Registrar};

/// In seconds, of a request's latency and of a client's own throttle.
const LATENCIES: [f64; 12] = [0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0];

/// In bytes, of requests and answers: 64 bytes to 16 MiB.
const SIZES: [f64; 11] =
    [64.0, 256.0, 512.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0, 16_777_216.0];

/// In seconds, of the age of a client certificate that is replaced: ten minutes to four years.
const AGES: [f64; 11] = [
    600.0,
    1800.0,
    3600.0,
    14_400.0,
    86_400.0,
    604_800.0,
    2_592_000.0,
    7_776_000.0,
    15_552_000.0,
    31_104_000.0,
    124_416_000.0,
];

/// The families. Those about certificates of exec plugins are there for dashboards that expect them: certificates are not
/// looked into.
pub(super) struct RestClient {
    requests: IntCounterVec,
    retries: IntCounterVec,
    latency: HistogramVec,
    throttle: HistogramVec,
    request_size: HistogramVec,
    response_size: HistogramVec,
    transports: IntGauge,
    transports_made: IntCounterVec,
    plugin_calls: IntCounterVec,
}

impl RestClient {
    pub(super) fn new(families: &mut Registrar<'_>) -> Result<Self> {
        let by_verb = &["verb", "host"];
        let mut histogram =
            |name: &str, help: &str, buckets: &[f64]| families.histograms(name, help, buckets.to_vec(), by_verb);
        let latency = histogram(
            "rest_client_request_duration_seconds",
            "[ALPHA] Request latency in seconds. Broken down by verb, and host.",
            &LATENCIES,
        )?;
        let throttle = histogram(
            "rest_client_rate_limiter_duration_seconds",
            "[ALPHA] Client side rate limiter latency in seconds. Broken down by verb, and host.",
            &LATENCIES,
        )?;
        let request_size = histogram(
            "rest_client_request_size_bytes",
            "[ALPHA] Request size in bytes. Broken down by verb and host.",
            &SIZES,
        )?;
        let response_size = histogram(
            "rest_client_response_size_bytes",
            "[ALPHA] Response size in bytes. Broken down by verb and host.",
            &SIZES,
        )?;
        families.add(Histogram::with_opts(
            HistogramOpts::new(
                "rest_client_exec_plugin_certificate_rotation_age",
                "[ALPHA] Histogram of the number of seconds the last auth exec plugin client certificate lived before \
                 being rotated. If auth exec plugin client certificates are unused, histogram will contain no data.",
            )
            .buckets(AGES.to_vec()),
        ))?;
        let expiry = families.add(Gauge::new(
            "rest_client_exec_plugin_ttl_seconds",
            "[ALPHA] Gauge of the shortest TTL (time-to-live) of the client certificate(s) managed by the auth exec \
             plugin. The value is in seconds until certificate expiry (negative if already expired). If auth exec \
             plugins are unused or manage no TLS certificates, the value will be +INF.",
        ))?;
        expiry.set(f64::INFINITY);
        families.add(IntCounter::new(
            "rest_client_transport_cert_rotation_gc_calls_total",
            "[ALPHA] Number of times a cert rotation goroutine cancel func is called via GC cleanup of the associated \
             transport",
        ))?;
        Ok(Self {
            latency,
            throttle,
            request_size,
            response_size,
            requests: families.counters(
                "rest_client_requests_total",
                "[ALPHA] Number of HTTP requests, partitioned by status code, method, and host.",
                &["code", "method", "host"],
            )?,
            retries: families.counters(
                "rest_client_request_retries_total",
                "[ALPHA] Number of request retries, partitioned by status code, verb, and host.",
                &["code", "verb", "host"],
            )?,
            transports: families.gauge(
                "rest_client_transport_cache_entries",
                "[ALPHA] Number of transport entries in the internal cache.",
            )?,
            transports_made: families.counters(
                "rest_client_transport_create_calls_total",
                "[ALPHA] Number of calls to get a new transport, partitioned by the result of the operation hit: \
                 obtained from the cache, miss: created and added to the cache, miss-gc: recreated and added back to \
                 the cache after being garbage collected, uncacheable: created and not cached",
                &["result"],
            )?,
            plugin_calls: families.counters(
                "rest_client_exec_plugin_call_total",
                "[ALPHA] Number of calls to an exec plugin, partitioned by the type of event encountered (no_error, \
                 plugin_execution_error, plugin_not_found_error, client_internal_error) and an optional exit code. The \
                 exit code will be set to 0 if and only if the plugin call was successful.",
                &["code", "call_status"],
            )?,
        })
    }
}

impl Metrics {
    /// The API server answered a request, lists and watches included; `code` is `<error>` where it did not.
    pub fn request_answered(&self, host: &str, method: &str, code: &str) {
        self.rest_client.requests.with_label_values(&[code, method, host]).inc();
    }

    /// A request other than a watch was answered whole.
    pub fn request_took(&self, host: &str, verb: &str, took: Duration, sent: u64, received: u64) {
        let client = &self.rest_client;
        client.latency.with_label_values(&[verb, host]).observe(took.as_secs_f64());
        client.request_size.with_label_values(&[verb, host]).observe(super::float(sent));
        client.response_size.with_label_values(&[verb, host]).observe(super::float(received));
    }

    /// A request waited so long for our own limit of queries per second.
    pub fn request_throttled(&self, host: &str, verb: &str, waited: Duration) {
        self.rest_client.throttle.with_label_values(&[verb, host]).observe(waited.as_secs_f64());
    }

    /// A request is sent again after an answer with this code.
    pub fn request_retried(&self, host: &str, verb: &str, code: &str) {
        self.rest_client.retries.with_label_values(&[code, verb, host]).inc();
    }

    /// A credential plug-in was run and ended so.
    pub fn plugin_called(&self, code: i32, status: &str) {
        self.rest_client.plugin_calls.with_label_values(&[&code.to_string(), status]).inc();
    }

    /// A client was made, with connections and TLS settings of its own.
    pub fn client_made(&self) {
        self.rest_client.transports.inc();
        self.rest_client.transports_made.with_label_values(&["miss"]).inc();
    }
}
