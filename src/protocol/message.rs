//! What was published, as every dialect encodes it for its subscribers.

use super::{Headers, Payload};
use crate::identity::ServiceName;
use crate::topic::Topic;

/// One message of the verified service `from`. It lives as long as it takes to encode it: once for each form in which somebody
/// receives it.
#[derive(Debug, Clone, PartialEq)]
pub struct Message<'a> {
    pub topic: &'a Topic,
    /// The verified service of the publisher.
    pub from: &'a ServiceName,
    pub payload: Payload<'a>,
    pub headers: Headers,
    /// Where an answer goes, if one is wanted.
    pub reply: Option<&'a Topic>,
}
