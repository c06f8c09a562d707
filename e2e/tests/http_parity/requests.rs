//! What both are asked.
//!
//! Not asked: what only one of them has (/readyz; profiles; pages in protobuf; a path with `//` on the health server,
//! which Go's router redirects).

use portolan_e2e::http::Request;

macro_rules! requests {
    ($($method:literal $target:literal $([$($name:literal: $value:expr),*])? $({$body:literal})?;)*) => {
        &[$(Request {
            method: $method,
            target: $target,
            headers: &[$($(($name, $value)),*)?],
            body: concat!($($body)?),
        }),*]
    };
}

/// Of the health server.
pub(crate) const HEALTH: &[Request<'static>] = requests! {
    "GET" "/healthz";
    "HEAD" "/healthz";
    "POST" "/healthz" {"a body that nobody reads"};
    "PUT" "/healthz";
    "DELETE" "/healthz";
    "OPTIONS" "/healthz";
    "GET" "/healthz?verbose";
    "GET" "/healthz" ["Accept": "text/plain"];
    "GET" "/livez";
    "HEAD" "/livez";
    "POST" "/livez";
    "PUT" "/livez";
    "GET" "/";
    "GET" "/healthz/";
    "GET" "/healthz/ping";
    "GET" "/metrics";
    "HEAD" "/nope";
    "POST" "/nope";
    "PUT" "/nope";
};

/// Of a health-check node port.
pub(crate) const HEALTH_CHECK: &[Request<'static>] = requests! {
    "GET" "/";
    "GET" "/healthz";
    "GET" "/any/path?with=query";
    "HEAD" "/";
    "POST" "/" {"a body that nobody reads"};
    "PUT" "/";
    "DELETE" "/";
};

/// Of the metrics server.
pub(crate) const METRICS: &[Request<'static>] = requests! {
    "GET" "/";
    "GET" "/nope";
    "HEAD" "/nope";
    "POST" "/nope";
    "PUT" "/nope";
    "GET" "/livez";
    "GET" "/readyz";
    "GET" "//healthz";
    "GET" "/healthz";
    "HEAD" "/healthz";
    "POST" "/healthz";
    "PUT" "/healthz";
    "GET" "/healthz?verbose";
    "GET" "/healthz?exclude=ping";
    "GET" "/healthz?exclude=ping&verbose";
    "GET" "/healthz?exclude=more&exclude=any&verbose=1";
    "GET" "/healthz/";
    "GET" "/healthz/ping";
    "HEAD" "/healthz/ping";
    "POST" "/healthz/ping";
    "PUT" "/healthz/ping";
    "GET" "/proxyMode";
    "HEAD" "/proxyMode";
    "POST" "/proxyMode";
    "PUT" "/proxyMode";
    "GET" "/configz";
    "HEAD" "/configz";
    "POST" "/configz";
    "PUT" "/configz";
    "GET" "/metrics/";
    "HEAD" "/metrics";
    "GET" "/metrics" ["Accept": "text/plain;version=0.0.4"];
    "GET" "/metrics" ["Accept": "application/openmetrics-text;version=1.0.0"];
    "GET" "/metrics" ["Accept": "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8,text/plain;q=0.5"];
    "GET" "/metrics" ["Accept": "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,*/*;escaping=dots;q=0.1"];
    "GET" "/metrics" ["Accept": "text/plain;version=0.0.4;escaping=values"];
    "GET" "/metrics" ["Accept": "text/plain;escaping=nonsense"];
    "GET" "/metrics" ["Accept": "application/json"];
    "POST" "/metrics";
    "PUT" "/metrics";
    "DELETE" "/metrics/slis";
    "GET" "/metrics/slis";
    "GET" "/healthz";
    "GET" "/healthz?exclude=ping";
    "GET" "/metrics/slis";
    "HEAD" "/metrics/slis";
    "POST" "/metrics/slis";
    "GET" "/debug";
    "GET" "/debug/";
    "GET" "/debug/flags/v";
    "POST" "/debug/flags/v" {"4"};
    "PUT" "/debug/flags/v" {"4"};
    "PUT" "/debug/flags/v" {"0"};
    "PUT" "/debug/flags/v";
    "PUT" "/debug/flags/v" {"x"};
    "PUT" "/debug/flags/v" {"-1"};
    "PUT" "/debug/flags/v" {"+1"};
    "PUT" "/debug/flags/v" {"4\n"};
    "PUT" "/debug/flags/v" {"2147483648"};
    "GET" "/statusz";
    "HEAD" "/statusz";
    "POST" "/statusz";
    "PUT" "/statusz";
    "GET" "/statusz" ["Accept": ""];
    "GET" "/statusz" ["Accept": "*/*"];
    "GET" "/statusz" ["Accept": "text/plain"];
    "GET" "/statusz" ["Accept": "text/*"];
    "GET" "/statusz" ["Accept": "text/plain;charset=utf-8"];
    "GET" "/statusz" ["Accept": "text/html,application/xhtml+xml,*/*;q=0.8"];
    "GET" "/statusz" ["Accept": "text/html"];
    "GET" "/statusz" ["Accept": "nonsense"];
    "GET" "/statusz" ["Accept": "application/json"];
    "GET" "/statusz" ["Accept": "application/yaml"];
    "GET" "/statusz" ["Accept": "application/*"];
    "GET" "/statusz" ["Accept": "application/json;q=0.5, text/plain;q=0.4"];
    "GET" "/statusz" ["Accept": "application/json;q=0.1, */*"];
    "GET" "/statusz" ["Accept": "application/json;g=config.k8s.io;v=v1beta1;as=Statusz"];
    "GET" "/statusz" ["Accept": "application/json;as=Statusz;v=v1beta1;g=config.k8s.io"];
    "GET" "/statusz" ["Accept": "application/yaml;g=config.k8s.io;v=v1beta1;as=Statusz"];
    "GET" "/statusz" ["Accept": "application/json;g=config.k8s.io;v=v1alpha1;as=Statusz"];
    "GET" "/statusz" ["Accept": "application/yaml;g=config.k8s.io;v=v1alpha1;as=Statusz"];
    "GET" "/statusz" ["Accept": "application/json;g=config.k8s.io;v=v2;as=Statusz"];
    "GET" "/statusz" ["Accept": "application/json;g=config.k8s.io;v=v1beta1;as=Flagz"];
    "GET" "/statusz" ["Accept": "application/json;v=v1beta1;as=Statusz"];
    "GET" "/statusz" ["Accept": "application/json;stream=watch"];
    "GET" "/statusz" ["Accept": "text/plain;g=config.k8s.io;v=v1beta1;as=Statusz"];
    "GET" "/statusz" ["Accept": "application/cbor;g=config.k8s.io;v=v1beta1;as=Statusz"];
    "GET" "/statusz" ["Accept": "*/*;g=config.k8s.io;v=v1beta1;as=Statusz"];
    "GET" "/statusz" ["Accept": "application/json;g=config.k8s.io;v=v1beta1;as=Statusz;pretty=1"];
    "GET" "/statusz?pretty=true" ["Accept": "application/json;g=config.k8s.io;v=v1beta1;as=Statusz"];
    "GET" "/statusz" ["Accept": "application/json", "User-Agent": "curl/8.14.1"];
    "GET" "/statusz?pretty=0" ["Accept": "application/json", "User-Agent": "curl/8.14.1"];
    "POST" "/statusz" ["Accept": "application/json;g=config.k8s.io;v=v1beta1;as=Statusz"];
    "HEAD" "/statusz" ["Accept": "application/json;g=config.k8s.io;v=v1beta1;as=Statusz"];
    "GET" "/flagz";
    "HEAD" "/flagz";
    "POST" "/flagz";
    "PUT" "/flagz";
    "GET" "/flagz" ["Accept": "application/json"];
    "GET" "/flagz" ["Accept": "application/json;g=config.k8s.io;v=v1beta1;as=Flagz"];
    "GET" "/flagz" ["Accept": "application/yaml;g=config.k8s.io;v=v1beta1;as=Flagz"];
    "GET" "/flagz" ["Accept": "application/json;g=config.k8s.io;v=v1alpha1;as=Flagz"];
    "GET" "/flagz" ["Accept": "application/json;g=config.k8s.io;v=v1beta1;as=Statusz"];
};
