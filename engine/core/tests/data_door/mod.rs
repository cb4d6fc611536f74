//! A data door beside a RESP door over one engine, and a client of it, for the tests of the data API.
#![allow(dead_code)] // each test binary uses a part of it

use std::net::TcpListener;

use bytes::Bytes;
use perdure_engine::grpc::wire::data_service_client::DataServiceClient;
use perdure_engine::grpc::wire::{Command, Value, value::Kind};
use perdure_engine::grpc::{self, DataDoor};
use tonic::transport::Channel;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::Server;

pub type Client = DataServiceClient<Channel>;

/// Both doors.
pub struct Door {
    pub server: Server,
    pub address: String,
    pub data: Option<DataDoor>,
}

impl Door {
    pub fn open(server: Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let data = Some(grpc::serve(&server.shared, listener).unwrap());
        Self { server, address, data }
    }

    /// Run a test on a runtime, with both doors.
    pub fn run(test: impl AsyncFnOnce(&Self)) {
        Self::run_with(Server::start(), test);
    }

    pub fn run_with(server: Server, test: impl AsyncFnOnce(&Self)) {
        let door = Self::open(server);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let limit = tokio::time::timeout(crate::support::PATIENCE, test(&door));
            limit.await.expect("in time");
        });
    }

    pub async fn channel(&self) -> Channel {
        Channel::from_shared(self.address.clone()).unwrap().connect().await.unwrap()
    }

    pub async fn client(&self) -> Client {
        DataServiceClient::new(self.channel().await)
    }
}

/// A command from words.
pub fn command(line: &str) -> Command {
    let args = line.split(' ').map(|word| Bytes::copy_from_slice(word.as_bytes()));
    Command { args: args.collect() }
}

pub fn bytes(text: &str) -> Bytes {
    Bytes::copy_from_slice(text.as_bytes())
}

pub fn blob(text: &str) -> Value {
    Value { kind: Some(Kind::Blob(Bytes::copy_from_slice(text.as_bytes()))) }
}

pub fn integer(integer: i64) -> Value {
    Value { kind: Some(Kind::Integer(integer)) }
}

/// The reason in a status's ErrorInfo.
pub fn reason(status: &Status) -> String {
    let details = status.get_error_details();
    details.error_info().map(|info| info.reason.clone()).unwrap_or_default()
}

/// Status and reason.
#[track_caller]
pub fn assert_refused<T: std::fmt::Debug>(answer: Result<T, Status>, code: Code, expected: &str) {
    let status = answer.unwrap_err();
    assert_eq!((status.code(), reason(&status).as_str()), (code, expected), "{status:?}");
}
