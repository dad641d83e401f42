//! Which model a request is for, where that says which upstream gets it, or whether one does: its body is held back until
//! it has named one.

use std::future::poll_fn;
use std::task::Poll;

use super::body::Observed;
use super::course::Course;
use crate::account::RequestRecord;
use crate::downstream::Downstream;
use crate::error::ProxyError;
use crate::stream::request;
use crate::upstream::{Message, RequestBody};
use crate::worker::Worker;

/// Reads the body until the model is named, the body ends, or more has come than is kept.
///
/// # Errors
/// If the client's body breaks off, or does not come in time.
pub(super) async fn learn<D: Downstream>(
    worker: &Worker,
    course: &mut Course,
    message: &mut Message,
    body: &mut Observed<'_, D>,
    record: &mut RequestRecord,
) -> Result<(), ProxyError> {
    let names_model = record.route.is_some_and(|route| route.get().names_model());
    if record.model.is_none() && names_model {
        read(worker, message, body, Until::ModelIsKnown).await?;
        if body.is_guarded() && !body.knows_model() {
            return Err(ProxyError::ModelNotKnown);
        }
        record.model = body.asked().and_then(|asked| asked.model.clone());
    }
    let map = worker.model_map();
    let targets = map.of(record.model.as_deref()).iter();
    let is_renamed = targets.map(|target| &target.model).any(Option::is_some);
    let place = is_renamed.then(|| request::place_of_model(&message.body()));
    course.is_for(record.model.as_deref(), place.flatten());
    Ok(())
}

/// How much of a body has to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Until {
    /// As much as says which model it is for.
    ModelIsKnown,
    /// All of it.
    End,
}

/// Reads the body until then, until it ends, or until more has come than is kept.
///
/// # Errors
/// If the client's body breaks off, or does not come in time.
pub(super) async fn read<D: Downstream>(
    worker: &Worker,
    message: &mut Message,
    body: &mut Observed<'_, D>,
    until: Until,
) -> Result<(), ProxyError> {
    let limit = worker.live().timeouts.client_body;
    // Set when there is something to wait for; mostly there is not.
    let mut is_set = false;
    // What nothing may be sent of is kept, long as it may be: its length has a limit of its own.
    let keep = message.keep;
    if body.is_guarded() {
        message.keep = usize::MAX;
    }
    let read = poll_fn(|cx| {
        loop {
            let is_enough = until == Until::ModelIsKnown && body.knows_model();
            if is_enough || message.is_complete || message.bytes.len() > message.keep {
                return Poll::Ready(Ok(()));
            }
            match body.poll_data(cx) {
                Poll::Ready(data) => {
                    message.append(data?);
                    is_set = false;
                }
                Poll::Pending => break,
            }
        }
        if !is_set {
            body.client.timer().set(worker.now(), limit);
            is_set = true;
        }
        let expired = body.client.timer().poll_expired(cx);
        expired.map(|()| Err(ProxyError::RequestTimeout))
    });
    let read = read.await;
    message.keep = keep;
    read
}
