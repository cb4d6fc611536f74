//! Pipeline: batches are handed to the executor as they come, several at once, and answered in the
//! order in which they came. Batches of one stream are executed in that order, too. A batch is read
//! only while fewer than a bound wait, so a caller who does not read its answers is read no further
//! (the transport asks for an answer only when it can send one).

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use tokio_stream::Stream;
use tonic::{Code, Status, Streaming};

use super::answers::{Held, Lane};
use super::calls::{Ask, Calls, Coming, settle};
use super::commands::Commands;
use super::errors::Refusal;
use super::figures::Method;
use super::queue::{Answer, Place, Work};
use super::replies::Replies;
use super::wire::{PipelineRequest, PipelineResponse};
use crate::limits::DATA_BATCHES_MAX;

/// A batch that is under way.
struct Batch {
    id: u64,
    commands: usize,
    coming: Coming,
    _place: Place,
}

/// The answers of one pipeline.
pub(super) struct PipelineStream {
    calls: Arc<Calls>,
    sent: Streaming<PipelineRequest>,
    lane: Arc<Lane>,
    batches: VecDeque<Batch>,
    /// Of the answer that was given last: the transport asks for the next when it has sent that.
    handed: Option<Held>,
    /// The caller sends no more; an error that ends the stream after what is under way.
    end: Option<Result<(), Status>>,
    began: Instant,
    code: Code,
}

impl PipelineStream {
    pub(super) fn open(
        calls: &Arc<Calls>,
        sent: Streaming<PipelineRequest>,
    ) -> Result<Self, Refusal> {
        Ok(Self {
            calls: Arc::clone(calls),
            sent,
            lane: calls.new_lane(),
            batches: VecDeque::new(),
            handed: None,
            end: None,
            began: Instant::now(),
            code: Code::Cancelled,
        })
    }

    /// Take what has been sent, as far as there is room.
    fn read(&mut self, cx: &mut Context<'_>) {
        while self.end.is_none() && self.batches.len() < DATA_BATCHES_MAX {
            match Pin::new(&mut self.sent).poll_next(cx) {
                Poll::Pending => return,
                Poll::Ready(None) => self.end = Some(Ok(())),
                Poll::Ready(Some(Err(status))) => {
                    self.end = Some(Err(Refusal::of_transport(status)));
                }
                Poll::Ready(Some(Ok(request))) => match self.start(&request) {
                    Ok(batch) => self.batches.push_back(batch),
                    Err(refusal) => self.end = Some(Err(refusal.into())),
                },
            }
        }
    }

    fn start(&self, request: &PipelineRequest) -> Result<Batch, Refusal> {
        let ask = Ask::write(request.database, request.durability)?;
        let ask = Ask { lane: Some(Arc::clone(&self.lane)), ..ask };
        let commands = Commands::several(&request.commands)?;
        let count = commands.len();
        let place = self.calls.queue.enter()?;
        let coming = self.calls.start(Work::Commands(commands), ask)?;
        Ok(Batch { id: request.id, commands: count, coming, _place: place })
    }
}

fn respond(id: u64, count: usize, answer: Answer) -> Result<PipelineResponse, Refusal> {
    let mut replies = Replies::new(answer.replies);
    let results = (0..count).map(|_| replies.next_result()).collect::<Result<_, _>>()?;
    Ok(PipelineResponse { id, results, receipt: Some(answer.receipt) })
}

impl Stream for PipelineStream {
    type Item = Result<PipelineResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.handed = None;
        self.read(cx);
        if let Some(first) = self.batches.front_mut() {
            let answered = ready!(Pin::new(&mut first.coming).poll(cx));
            let (id, count) = (first.id, first.commands);
            self.batches.pop_front();
            let responded = settle(answered).and_then(|mut answer| {
                self.handed = answer.held.take();
                respond(id, count, answer)
            });
            return Poll::Ready(Some(responded.map_err(|refusal| {
                let status = Status::from(refusal);
                // Nothing that follows is answered, so nothing more is executed.
                self.batches.clear();
                self.end = Some(Ok(()));
                self.code = status.code();
                status
            })));
        }
        let Some(end) = self.end.replace(Ok(())) else {
            self.end = None;
            return Poll::Pending; // woken when the caller sends
        };
        if self.code == Code::Cancelled {
            self.code = end.as_ref().err().map_or(Code::Ok, Status::code);
        }
        Poll::Ready(end.err().map(Err))
    }
}

impl Drop for PipelineStream {
    fn drop(&mut self) {
        let figures = &self.calls.shared.stats.rpc;
        figures.count(Method::Pipeline, self.code, self.began.elapsed());
    }
}
