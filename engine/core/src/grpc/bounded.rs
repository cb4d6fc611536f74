//! Around the generated service: gives what the transport itself refuses (a message past its bound)
//! the status and the reason of our own table.

use std::pin::Pin;
use std::task::{Context, Poll};

use tonic::Status;
use tonic::codegen::{Service, http};
use tonic::server::NamedService;

use super::errors::Refusal;

/// A service whose transport errors are ours.
#[derive(Clone)]
pub(super) struct Bounded<S>(pub(super) S);

impl<S: NamedService> NamedService for Bounded<S> {
    const NAME: &'static str = S::NAME;
}

impl<S, Q, B> Service<http::Request<Q>> for Bounded<S>
where
    S: Service<http::Request<Q>, Response = http::Response<B>>,
    S::Future: Send + 'static,
    B: Default,
{
    type Response = http::Response<B>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, S::Error>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(cx)
    }

    fn call(&mut self, request: http::Request<Q>) -> Self::Future {
        let answering = self.0.call(request);
        Box::pin(async move {
            let response = answering.await?;
            // A call that was refused before its method ran is answered with headers alone.
            Ok(match Status::from_header_map(response.headers()) {
                Some(status) if status.code() == tonic::Code::OutOfRange => {
                    Refusal::of_transport(status).into_http()
                }
                _ => response,
            })
        })
    }
}
