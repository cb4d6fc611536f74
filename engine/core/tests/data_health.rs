//! The data door answers standard gRPC health from atomics, for the whole server and by name, also
//! while somebody holds the engine lock.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test fails by panicking

mod support;

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

use perdure_engine::clock::Clock;
use perdure_engine::config::Config;
use perdure_engine::grpc::{self, DATA_SERVICES};
use perdure_engine::state::Shared;
use tonic::transport::Channel;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;

async fn connect(address: &str) -> Result<Channel, tonic::transport::Error> {
    Channel::from_shared(address.to_owned()).unwrap().connect().await
}

async fn wait_for_status(address: &str, service: &str, expected: ServingStatus) {
    let deadline = std::time::Instant::now() + support::PATIENCE;
    let mut client = HealthClient::new(connect(address).await.unwrap());
    loop {
        let request = HealthCheckRequest { service: service.to_owned() };
        let status = client.check(request).await.unwrap().into_inner().status;
        if status == i32::from(expected) {
            return;
        }
        assert!(std::time::Instant::now() < deadline, "{service:?} is {status}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

async fn follow_the_life_of(shared: &Arc<Shared>, address: &str) {
    for service in ["", DATA_SERVICES[0], DATA_SERVICES[1]] {
        shared.stats.is_loading.store(true, SeqCst);
        wait_for_status(address, service, ServingStatus::NotServing).await;
        shared.stats.is_loading.store(false, SeqCst);
        wait_for_status(address, service, ServingStatus::Serving).await;
    }
    shared.is_stopping.store(true, SeqCst);
    wait_for_status(address, "", ServingStatus::NotServing).await;
}

#[test]
fn health_follows_the_engine_and_never_waits_for_its_lock() {
    let shared = Arc::new(Shared::new(Config::redis_defaults(), Clock::system(), String::new()));
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let door = grpc::serve(&shared, listener).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let held = shared.state.lock();
    runtime.block_on(follow_the_life_of(&shared, &address));
    drop(held);
    door.stop();
    let gone = runtime.block_on(connect(&address));
    assert!(gone.is_err(), "the listener is closed");
}
