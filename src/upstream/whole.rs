//! A body that is read whole, in one piece: what comes is joined, since each piece takes more than itself, and may hold
//! the buffer that it was read into.

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt as _;

/// Why a body was not read to its end.
#[derive(Debug, PartialEq, Eq)]
pub enum NotWhole<E> {
    TooLarge,
    Failed(E),
}

/// Reads a body of at most `most` bytes to its end; its trailers are nothing.
pub async fn read_whole<B>(mut body: B, most: usize) -> Result<Bytes, NotWhole<B::Error>>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(NotWhole::Failed)?.into_data() else {
            continue;
        };
        if data.len() > most - whole.len() {
            return Err(NotWhole::TooLarge);
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

#[cfg(test)]
mod tests {
    use http_body_util::Full;

    use super::*;

    #[tokio::test]
    async fn one_byte_more_is_too_much() {
        let body = || Full::new(Bytes::from_static(b"four"));
        assert_eq!(read_whole(body(), 4).await.unwrap(), "four");
        assert_eq!(read_whole(body(), 3).await.unwrap_err(), NotWhole::TooLarge);
    }
}
