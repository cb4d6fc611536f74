//! Scan: one SCAN after the other, each a short step of its own, an answer for each. The next batch
//! is looked at when the caller has taken the last one, so a slow caller holds nothing but its place.
//! A batch whose values do not fit an answer is looked at again in smaller ones.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use tokio_stream::Stream;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status};

use super::answers::Account;
use super::calls::{Ask, Calls};
use super::errors::Refusal;
use super::figures::Method;
use super::wire::value::Kind;
use super::wire::{ScanEntry, ScanRequest, ScanResponse, Value};
use crate::limits::DATA_SCAN_BATCH_MAX;

const BATCH_DEFAULT: u32 = 100;

/// The batches of one scan.
pub(super) struct ScanStream {
    batches: ReceiverStream<(Result<ScanResponse, Status>, Account)>,
    /// Holds the bytes of the batch that was given last, until the next is asked for.
    handed: Account,
}

impl ScanStream {
    pub(super) fn open(calls: &Arc<Calls>, request: ScanRequest) -> Self {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let calls = Arc::clone(calls);
        tokio::spawn(async move {
            let began = Instant::now();
            let mut cursor = request.cursor;
            let code = loop {
                let account = Account::default();
                let batch = tokio::select! {
                    batch = account.over(scan_batch(&calls, &request, cursor)) => batch,
                    () = sender.closed() => break Code::Cancelled,
                };
                let batch = batch.map_err(Status::from);
                let next = batch.as_ref().map(|batch| batch.next_cursor).map_err(Status::code);
                if sender.send((batch, account)).await.is_err() {
                    break Code::Cancelled;
                }
                match next {
                    Ok(0) => break Code::Ok,
                    Ok(next) => cursor = next,
                    Err(code) => break code,
                }
            };
            calls.shared.stats.rpc.count(Method::Scan, code, began.elapsed());
        });
        Self { batches: ReceiverStream::new(receiver), handed: Account::default() }
    }
}

impl Stream for ScanStream {
    type Item = Result<ScanResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.handed = Account::default();
        let next = std::task::ready!(Pin::new(&mut self.batches).poll_next(cx));
        Poll::Ready(next.map(|(batch, account)| {
            self.handed = account;
            batch
        }))
    }
}

/// One batch; smaller than asked for where the values are large.
async fn scan_batch(
    calls: &Calls,
    request: &ScanRequest,
    cursor: u64,
) -> Result<ScanResponse, Refusal> {
    let mut count = match request.batch_size {
        0 => BATCH_DEFAULT,
        size => size.min(DATA_SCAN_BATCH_MAX),
    };
    loop {
        match scan_once(calls, request, cursor, count).await {
            Ok(batch) => return Ok(batch),
            Err(refusal) if refusal.is_answer_too_big() && count > 1 => count /= 2,
            Err(refusal) => return Err(refusal),
        }
    }
}

async fn scan_once(
    calls: &Calls,
    request: &ScanRequest,
    cursor: u64,
    count: u32,
) -> Result<ScanResponse, Refusal> {
    let (next_cursor, keys) = scan_keys(calls, request, cursor, count).await?;
    let entries = if request.with_values && !keys.is_empty() {
        read_values(calls, request.database, keys).await?
    } else {
        keys.into_iter().map(|key| ScanEntry { key, value: None }).collect()
    };
    Ok(ScanResponse { entries, next_cursor })
}

async fn scan_keys(
    calls: &Calls,
    request: &ScanRequest,
    cursor: u64,
    count: u32,
) -> Result<(u64, Vec<Bytes>), Refusal> {
    let (cursor, count) = (cursor.to_string(), count.to_string());
    let mut args: Vec<&[u8]> = vec![b"SCAN", cursor.as_bytes(), b"COUNT", count.as_bytes()];
    if !request.pattern.is_empty() {
        args.extend([b"MATCH".as_slice(), &request.pattern]);
    }
    if !request.r#type.is_empty() {
        args.extend([b"TYPE".as_slice(), request.r#type.as_bytes()]);
    }
    let (mut replies, _) = calls.command(&args, Ask::read(request.database)).await?;
    let bug = || Refusal::internal("SCAN answered no cursor and keys");
    if replies.next_array_head()? != Some(2) {
        return Err(bug());
    }
    let next = replies.next_blob()?.ok_or_else(bug)?;
    let next = std::str::from_utf8(&next).ok().and_then(|text| text.parse().ok());
    let keys = replies.next_array()?.into_iter().map(|value| match value {
        Value { kind: Some(Kind::Blob(key)) } => Ok(key),
        _ => Err(bug()),
    });
    Ok((next.ok_or_else(bug)?, keys.collect::<Result<_, _>>()?))
}

async fn read_values(
    calls: &Calls,
    database: u32,
    keys: Vec<Bytes>,
) -> Result<Vec<ScanEntry>, Refusal> {
    let args: Vec<&[u8]> =
        std::iter::once(b"MGET".as_slice()).chain(keys.iter().map(|key| &**key)).collect();
    let (mut replies, _) = calls.command(&args, Ask::read(database)).await?;
    replies.next_array_head()?;
    let entry = |key| Ok(ScanEntry { key, value: replies.next_blob()? });
    keys.into_iter().map(entry).collect()
}
