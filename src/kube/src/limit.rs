//! How many requests a second we allow ourselves: `clientConnection.qps` and `burst`, a bucket of tokens as in client-go.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use tokio::time::{Instant, sleep};

/// client-go's defaults, which stand where the configuration says 0.
const QPS: f32 = 5.0;
const BURST: u32 = 10;

pub(crate) struct Limit {
    /// None where `qps` is negative: no limit.
    bucket: Option<Mutex<Bucket>>,
}

struct Bucket {
    per_second: f64,
    burst: f64,
    /// Below 0 while some wait for theirs.
    tokens: f64,
    filled: Instant,
}

impl Limit {
    pub(crate) fn new(qps: f32, burst: u32) -> Self {
        let per_second = f64::from(if qps == 0.0 { QPS } else { qps });
        let burst = f64::from(if burst == 0 { BURST } else { burst });
        let bucket = Bucket { per_second, burst, tokens: burst, filled: Instant::now() };
        Self { bucket: (per_second > 0.0).then(|| Mutex::new(bucket)) }
    }

    /// Waits for a token. Gives how long that took.
    pub(crate) async fn token(&self) -> Duration {
        let wait = self.bucket.as_ref().map_or(Duration::ZERO, |bucket| {
            // A bucket is right after each of its lines, whoever panicked.
            bucket.lock().unwrap_or_else(PoisonError::into_inner).take(Instant::now())
        });
        if !wait.is_zero() {
            sleep(wait).await;
        }
        wait
    }
}

impl Bucket {
    /// Takes a token, one of the future if need be. Gives how long it is until that one.
    fn take(&mut self, now: Instant) -> Duration {
        let new = (now - self.filled).as_secs_f64() * self.per_second;
        self.filled = now;
        self.tokens = (self.tokens + new).min(self.burst) - 1.0;
        Duration::try_from_secs_f64(-self.tokens / self.per_second).unwrap_or(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_burst_is_free_and_the_rest_evenly_spaced() {
        let limit = Limit::new(5.0, 2);
        for expected in [0, 0, 200, 200] {
            assert_eq!(limit.token().await, Duration::from_millis(expected));
        }
        tokio::time::advance(Duration::from_secs(60)).await;
        for expected in [0, 0, 200] {
            assert_eq!(limit.token().await, Duration::from_millis(expected), "no more than a burst is saved up");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn zero_is_the_default_and_less_is_no_limit() {
        let (default, none) = (Limit::new(0.0, 0), Limit::new(-1.0, 0));
        for i in 0..12 {
            assert_eq!(default.token().await.is_zero(), i < 10);
            assert!(none.token().await.is_zero());
        }
    }
}
