//! The head of a CONNECT (RFC 9110 §9.3.6).

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{CONTENT_LENGTH, HOST, TRANSFER_ENCODING},
};

use crate::proxy::error::{Error, Kind};

/// Fields of a CONNECT head.
const FIELDS: usize = 64;

/// A CONNECT request.
#[derive(Debug)]
pub(super) struct Connect {
    pub target: String,
    pub headers: HeaderMap,
}

/// Parses a CONNECT head; `None`: there is more to come.
pub(super) fn parse(buffer: &[u8]) -> Result<Option<(Connect, usize)>, Error> {
    let bad = || Error::from(Kind::BadRequest("the CONNECT request is not valid HTTP"));
    let mut fields = [httparse::EMPTY_HEADER; FIELDS];
    let mut request = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(length) = request.parse(buffer).map_err(|e| bad().because(e))?
    else {
        return Ok(None);
    };
    let mut headers = HeaderMap::with_capacity(request.headers.len());
    for field in request.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).map_err(|_| bad())?;
        headers.append(
            name,
            HeaderValue::from_bytes(field.value).map_err(|_| bad())?,
        );
    }
    // What follows the head is the tunnel's: a body would be read as the beginning of something else (RFC 9110 §9.3.6).
    let body = headers
        .get_all(CONTENT_LENGTH)
        .iter()
        .any(|length| length != "0");
    if body || headers.contains_key(TRANSFER_ENCODING) {
        return Err(Kind::BadRequest("a CONNECT has no body").into());
    }
    if headers.get_all(HOST).iter().count() > 1 {
        return Err(bad());
    }
    let target = request.path.ok_or_else(bad)?.to_owned();
    Ok(Some((Connect { target, headers }, length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_and_what_follows() {
        let bytes = b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n\x16\x03";
        let (connect, length) = parse(bytes).unwrap().unwrap();
        assert_eq!(connect.target, "a:443");
        assert_eq!(&bytes[length..], b"\x16\x03");
        assert!(parse(b"CONNECT a:443 HTTP/1.1\r\nHo").unwrap().is_none());
        assert!(parse(b"CONNECT a:443 HTTP/1.1\r\nHo st: x\r\n\r\n").is_err());
        let with =
            |fields: &str| parse(format!("CONNECT a:443 HTTP/1.1\r\n{fields}\r\n").as_bytes());
        assert!(
            with("Host: a:443\r\nContent-Length: 0\r\n")
                .unwrap()
                .is_some()
        );
        for fields in [
            "Host: a:443\r\nHost: a:443\r\n",
            "Content-Length: 3\r\n",
            "Content-Length: 0\r\nContent-Length: 3\r\n",
            "Transfer-Encoding: chunked\r\n",
        ] {
            assert!(with(fields).is_err(), "{fields}");
        }
    }
}
