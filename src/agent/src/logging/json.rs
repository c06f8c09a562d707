//! Log lines as Kubernetes' components write them with `--logging-format=json`: one object a line, with `ts` in
//! milliseconds since 1970, `v` and `msg` first, then the fields; errors and warnings say so in `level`.

use std::{
    fmt,
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Map, Value};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

/// Writes events so.
pub(super) struct Lines;

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        writeln!(writer, "{}", line(now.as_secs_f64() * 1000.0, event))
    }
}

fn line(milliseconds: f64, event: &Event<'_>) -> String {
    let mut fields = Fields::default();
    event.record(&mut fields);
    // Kubernetes' own scale, where 0 is what an operator should know.
    let (verbosity, level) = match *event.metadata().level() {
        Level::ERROR => (0, Some("error")),
        Level::WARN => (0, Some("warn")),
        Level::INFO => (0, None),
        Level::DEBUG => (4, None),
        Level::TRACE => (6, None),
    };
    let mut line = format!(r#"{{"ts":{milliseconds:.3},"v":{verbosity},"msg":{}"#, Value::from(fields.message));
    if let Some(level) = level {
        line += &format!(r#","level":"{level}""#);
    }
    for (name, value) in fields.others {
        line += &format!(",{}:{value}", Value::from(name));
    }
    line + "}"
}

#[derive(Default)]
struct Fields {
    message: String,
    others: Map<String, Value>,
}

impl Fields {
    fn put(&mut self, field: &Field, value: Value) {
        self.others.insert(field.name().to_owned(), value);
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let text = format!("{value:?}");
        match field.name() {
            "message" => self.message = text,
            _ => self.put(field, text.into()),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => value.clone_into(&mut self.message),
            _ => self.put(field, value.into()),
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value.into());
    }
}

#[cfg(test)]
mod tests {
    use std::{
        io,
        sync::{Arc, Mutex},
    };

    use tracing_subscriber::layer::SubscriberExt as _;

    use super::*;

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_an_object_with_ts_v_and_msg_first() {
        let log = Log::default();
        let writer = log.clone();
        let layer = tracing_subscriber::fmt::layer().event_format(Lines).with_writer(move || writer.clone());
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), || {
            tracing::info!(changes = 3, took = ?std::time::Duration::from_millis(2), "programmed\n\"all\"");
            tracing::error!(error = "no", final_try = true, "failed: {}", 7);
            tracing::debug!("a decision");
        });
        let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        let without_time = |line: &str| line.split_once(",\"v\"").map(|(_, rest)| rest.to_owned());
        assert_eq!(
            text.lines().filter_map(without_time).collect::<Vec<_>>(),
            [
                r#":0,"msg":"programmed\n\"all\"","changes":3,"took":"2ms"}"#,
                r#":0,"msg":"failed: 7","level":"error","error":"no","final_try":true}"#,
                r#":4,"msg":"a decision"}"#,
            ]
        );
        for line in text.lines() {
            let object: Value = serde_json::from_str(line).unwrap();
            assert!(object["ts"].as_f64().unwrap() > 1e12, "{line}");
        }
    }
}
