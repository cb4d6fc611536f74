//! Standard gRPC health over the engine's atomics. A check reads them at the moment it is asked, so
//! that whoever has been told that the server is ready finds it so; a watch is told within the beat
//! of `super::WATCH_EVERY`.

use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status};
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_server::{Health, HealthServer};
use tonic_health::pb::{HealthCheckRequest, HealthCheckResponse};

use super::{DATA_SERVICES, is_serving};
use crate::state::Shared;

/// The service, to be added to the door.
pub(super) fn server(shared: Arc<Shared>, told: watch::Receiver<bool>) -> HealthServer<OfEngine> {
    HealthServer::new(OfEngine { shared, told })
}

/// Health of the data plane, under the empty name and [`DATA_SERVICES`].
pub(super) struct OfEngine {
    shared: Arc<Shared>,
    told: watch::Receiver<bool>,
}

fn answer(is_serving: bool) -> HealthCheckResponse {
    let status = if is_serving { ServingStatus::Serving } else { ServingStatus::NotServing };
    HealthCheckResponse { status: status.into() }
}

fn is_known(service: &str) -> bool {
    service.is_empty() || DATA_SERVICES.contains(&service)
}

#[tonic::async_trait]
impl Health for OfEngine {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthCheckResponse, Status>> + Send>>;

    async fn check(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<HealthCheckResponse>, Status> {
        let service = request.into_inner().service;
        if !is_known(&service) {
            return Err(Status::not_found(format!(
                "no service {service:?}; ask for {:?}",
                DATA_SERVICES[1]
            )));
        }
        Ok(Response::new(answer(is_serving(&self.shared))))
    }

    async fn watch(
        &self,
        request: Request<HealthCheckRequest>,
    ) -> Result<Response<Self::WatchStream>, Status> {
        if !is_known(&request.into_inner().service) {
            let unknown = HealthCheckResponse { status: ServingStatus::ServiceUnknown.into() };
            // The protocol keeps the stream of an unknown service open: it could appear.
            let stream = tokio_stream::once(Ok(unknown)).chain(tokio_stream::pending());
            return Ok(Response::new(Box::pin(stream)));
        }
        let stream = WatchStream::new(self.told.clone()).map(|is_serving| Ok(answer(is_serving)));
        Ok(Response::new(Box::pin(stream)))
    }
}
