//! A subscription as a `futures::Stream` (feature `stream`): the task is woken when there may be more.
//!
//! Not here: reading (`subscription`), which a poll does in place.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::subscription::{ObserveError, Subscription};
use crate::observe::feed::FeedItem;

/// Ends when the engine is closed or the observer removed, and after any other error.
impl Stream for Subscription {
    type Item = Result<FeedItem, ObserveError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.is_ended {
            return Poll::Ready(None);
        }
        loop {
            let seen = self.core.history.bell.rings();
            match self.try_next() {
                Ok(Some(item)) => return Poll::Ready(Some(Ok(item))),
                Ok(None) => {
                    if self.core.history.bell.register(seen, context.waker()) {
                        return Poll::Pending;
                    }
                    // It rang in between.
                }
                Err(error) => {
                    self.is_ended = true;
                    return Poll::Ready(match error {
                        ObserveError::Closed | ObserveError::Removed { .. } => None,
                        error => Some(Err(error)),
                    });
                }
            }
        }
    }
}
