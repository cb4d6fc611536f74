//! Around the generated service: deadlines of calls, and what the transport itself refuses (a message
//! past its bound), with the status and the reason of our own table. The transport would answer a
//! deadline as a cancellation, so this one ends the call a moment earlier.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tonic::Status;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;

use super::answers::Account;
use super::errors::Refusal;

/// The transport's own timer would fire then.
const AHEAD: Duration = Duration::from_millis(2);

/// A service whose transport errors are ours.
#[derive(Clone)]
pub(super) struct Bounded<S>(pub(super) S);

impl<S: NamedService> NamedService for Bounded<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, Q> Service<http::Request<Q>> for Bounded<S>
where
    S: Service<http::Request<Q>, Response = http::Response<Body>>,
    S::Future: Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Q>) -> Self::Future {
        let patience =
            request.headers().get("grpc-timeout").and_then(|text| patience(text.as_bytes()));
        let account = Account::default();
        let answering = self.0.call(request);
        Box::pin(async move {
            let response = match patience {
                None => account.over(answering).await?,
                Some(patience) => {
                    let answered = tokio::time::timeout(
                        patience.saturating_sub(AHEAD),
                        account.over(answering),
                    );
                    let Ok(answer) = answered.await else {
                        return Ok(Status::from(Refusal::deadline()).into_http());
                    };
                    answer?
                }
            };
            // A call that was refused before its method ran is answered with headers alone.
            Ok(match Status::from_header_map(response.headers()) {
                Some(status) if status.code() == tonic::Code::OutOfRange => {
                    Refusal::of_transport(status).into_http()
                }
                _ => response.map(|body| Body::new(HeldBody { body, _account: account })),
            })
        })
    }
}

/// A body that holds the bytes of its answer among those that wait, until it has been sent.
struct HeldBody {
    body: Body,
    _account: Account,
}

impl http_body::Body for HeldBody {
    type Data = bytes::Bytes;
    type Error = Status;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<http_body::Frame<bytes::Bytes>, Status>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// `grpc-timeout`: at most eight digits and a unit. `None` for anything else: the transport refuses it.
fn patience(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if digits.len() > 8 {
        return None;
    }
    let count: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    Some(match unit {
        b'H' => Duration::from_secs(count * 3600),
        b'M' => Duration::from_secs(count * 60),
        b'S' => Duration::from_secs(count),
        b'm' => Duration::from_millis(count),
        b'u' => Duration::from_micros(count),
        b'n' => Duration::from_nanos(count),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::Ordering::Relaxed;

    use super::super::answers::Held;
    use super::super::queue::Queue;
    use super::*;

    /// A call that is never answered.
    struct Never;

    impl Service<http::Request<()>> for Never {
        type Response = http::Response<tonic::body::Body>;
        type Error = std::convert::Infallible;
        type Future = std::future::Pending<Result<Self::Response, Self::Error>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: http::Request<()>) -> Self::Future {
            std::future::pending()
        }
    }

    /// A call whose answer has ten bytes.
    struct Ten(Arc<Queue>);

    impl Service<http::Request<()>> for Ten {
        type Response = http::Response<Body>;
        type Error = std::convert::Infallible;
        type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, _: http::Request<()>) -> Self::Future {
            let mut held = Held::new(&self.0, None);
            Box::pin(async move {
                held.grow_to(10);
                Account::keep(Some(held));
                Ok(http::Response::new(Body::new("0123456789".to_owned())))
            })
        }
    }

    #[test]
    fn an_answer_is_counted_until_its_body_is_dropped() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let queue = Arc::<Queue>::default();
        for timeout in ["", "5S"] {
            let request =
                http::Request::builder().header("grpc-timeout", timeout).body(()).unwrap();
            let mut service = Bounded(Ten(Arc::clone(&queue)));
            let answer = runtime.block_on(async { service.call(request).await }).unwrap();
            assert_eq!(queue.answers_bytes.load(Relaxed), 10);
            drop(answer);
            assert_eq!(queue.answers_bytes.load(Relaxed), 0);
        }
    }

    #[test]
    fn a_deadline_ends_a_call_with_its_own_status() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let request = http::Request::builder().header("grpc-timeout", "5m").body(()).unwrap();
        let answer = runtime.block_on(async { Bounded(Never).call(request).await }).unwrap();
        let status = Status::from_header_map(answer.headers()).unwrap();
        assert_eq!(status.code(), tonic::Code::DeadlineExceeded);
    }

    #[test]
    fn timeouts_are_read_as_the_protocol_writes_them() {
        assert_eq!(patience(b"99999999m"), Some(Duration::from_millis(99_999_999)));
        assert_eq!(patience(b"2H"), Some(Duration::from_secs(7200)));
        for other in [b"".as_slice(), b"5", b"m", b"-1m", b"999999999S", b"5x"] {
            assert_eq!(patience(other), None, "{other:?}");
        }
    }
}
