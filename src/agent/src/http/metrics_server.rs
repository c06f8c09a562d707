//! The metrics server, port 10249: what administrators and Prometheus ask.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use hyper::{
    Method, StatusCode,
    header::{ACCEPT, HeaderName, HeaderValue},
};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::{
    answer::{Answer, TEXT, answer, json, not_found, plain, with},
    debug_flags,
    negotiate::clauses,
    serve::{Asked, Site},
    zpages::Page,
};
use crate::metrics::{Build, Metrics};

/// In seconds since 1970, beside every page of metrics.
const STARTED: HeaderName = HeaderName::from_static("process-start-time-unix");

/// What /statusz lists.
const PATHS: [&str; 5] = ["/configz", "/flagz", "/healthz", "/metrics", "/proxyMode"];

/// How a name that is not ASCII would be written; ours all are, and so the client's wish is granted.
const ESCAPINGS: [&str; 4] = ["allow-utf-8", "underscores", "dots", "values"];

/// What the daemon knows about itself.
#[derive(Clone)]
pub struct About {
    /// Such as `nftables`: the answer of /proxyMode.
    pub mode: &'static str,
    /// Whether /debug is there (`enableProfiling`).
    pub profiling: bool,
    /// Whether /statusz is there (gate `ComponentStatusz`).
    pub statusz: bool,
    /// Whether /flagz is there (gate `ComponentFlagz`).
    pub flagz: bool,
    /// The configuration in effect: KubeProxyConfiguration v1alpha1 with `kind` and `apiVersion`.
    pub configuration: Arc<dyn Fn() -> Value + Send + Sync>,
    /// The flags by name, with the values in effect for those that were not given.
    pub flags: Arc<dyn Fn() -> Vec<(String, String)> + Send + Sync>,
    /// Sets how much is logged (`-v`).
    pub set_verbosity: Arc<dyn Fn(u32) + Send + Sync>,
}

/// What it answers from.
pub(super) struct MetricsSite {
    about: About,
    metrics: Arc<Metrics>,
    started: Timestamp,
    since: Instant,
}

impl MetricsSite {
    pub(super) fn new(about: About, metrics: Arc<Metrics>) -> Self {
        Self { about, metrics, started: Timestamp::now(), since: Instant::now() }
    }
}

impl Site for MetricsSite {
    fn answer(&self, asked: &Asked) -> Answer {
        match asked.path() {
            "/healthz" => self.healthz(asked),
            "/healthz/ping" => answer(StatusCode::OK, TEXT, "ok"),
            "/metrics" => self.page_of_metrics(asked, self.metrics.text()),
            "/metrics/slis" if asked.method == Method::DELETE => {
                self.metrics.reset_slis();
                answer(StatusCode::OK, TEXT, "metrics reset\n")
            }
            "/metrics/slis" => self.page_of_metrics(asked, self.metrics.slis_text()),
            "/proxyMode" => plain(StatusCode::OK, self.about.mode),
            "/configz" => {
                let configuration = (self.about.configuration)();
                json(StatusCode::OK, &BTreeMap::from([("kubeproxy.config.k8s.io", configuration)]))
            }
            "/statusz" if self.about.statusz => self.statusz(asked),
            "/flagz" if self.about.flagz => self.flagz(asked),
            path if self.about.profiling && debug_flags::is_below(path) => {
                debug_flags::answer(asked, self.about.set_verbosity.as_ref())
            }
            _ => not_found(),
        }
    }

    fn reads_body(&self, method: &Method, path: &str) -> bool {
        self.about.profiling && method == Method::PUT && debug_flags::is_below(path)
    }
}

impl MetricsSite {
    /// That this server answers; the proxy's own health is the health server's to tell.
    fn healthz(&self, asked: &Asked) -> Answer {
        let mut excluded: BTreeSet<_> = asked.query("exclude").collect();
        let mut lines = if excluded.remove("ping") {
            "[+]ping excluded: ok\n".to_owned()
        } else {
            self.metrics.pinged();
            "[+]ping ok\n".to_owned()
        };
        if asked.query("verbose").next().is_none() {
            return plain(StatusCode::OK, "ok");
        }
        if !excluded.is_empty() {
            let unknown: Vec<_> = excluded.iter().map(|name| format!("{name:?}")).collect();
            let unknown = unknown.join(",");
            lines += &format!("warn: some health checks cannot be excluded: no matches for {unknown}\n");
        }
        plain(StatusCode::OK, lines + "healthz check passed\n")
    }

    /// Text, whatever is asked for: what Prometheus takes from everybody.
    fn page_of_metrics(&self, asked: &Asked, text: String) -> Answer {
        let clauses = clauses(asked.header(&ACCEPT));
        // The wishes of clauses behind the one that is granted do not count.
        let granted = clauses.iter().position(|clause| {
            clause.is("text", "plain") && clause.parameter("version").is_none_or(|version| version == "0.0.4")
        });
        let wishes = clauses.iter().take(granted.map_or(clauses.len(), |place| place + 1));
        let escaping = wishes.rev().find_map(|clause| {
            let wish = clause.parameter("escaping")?;
            ESCAPINGS.into_iter().find(|escaping| *escaping == wish)
        });
        let escaping = escaping.unwrap_or("underscores");
        let kind = format!("text/plain; version=0.0.4; charset=utf-8; escaping={escaping}");
        let answer = answer(StatusCode::OK, HeaderValue::from_str(&kind).unwrap_or(TEXT), text);
        with(answer, STARTED, HeaderValue::from(self.started.as_second()))
    }

    fn statusz(&self, asked: &Asked) -> Answer {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Statusz {
            start_time: String,
            uptime_seconds: u64,
            go_version: &'static str,
            binary_version: &'static str,
            emulation_version: String,
            paths: [&'static str; PATHS.len()],
        }

        let build = Build::CURRENT;
        let up = self.since.elapsed().as_secs();
        let lines = format!(
            "\nStarted: {}\nUp: {} hr {:02} min {:02} sec\nGo version: {}\nBinary version: {}\nEmulation version: {}\n\
             Paths: {}\n",
            self.started.strftime("%a %b %e %H:%M:%S UTC %Y"),
            up / 3600,
            up / 60 % 60,
            up % 60,
            build.language,
            build.version,
            build.kubernetes(),
            PATHS.join(" "),
        );
        let fields = Statusz {
            start_time: self.started.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            uptime_seconds: up,
            go_version: build.language,
            binary_version: build.version,
            emulation_version: build.kubernetes(),
            paths: PATHS,
        };
        Page { name: "statusz", kind: "Statusz", fields, lines }.answer(asked)
    }

    fn flagz(&self, asked: &Asked) -> Answer {
        #[derive(Serialize)]
        struct Flagz {
            #[serde(skip_serializing_if = "BTreeMap::is_empty")]
            flags: BTreeMap<String, String>,
        }

        let flags: BTreeMap<_, _> = (self.about.flags)().into_iter().collect();
        let lines = flags.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
        Page { name: "flagz", kind: "Flagz", fields: Flagz { flags }, lines }.answer(asked)
    }
}
