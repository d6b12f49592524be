//! The same exchanges with HTTP/2 on one side, or on both. What HTTP/2 has no room for is left out of the comparison: the
//! letters of fields' names, the order of fields of different names, the reason.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use h2::{RecvStream, SendStream, client, server};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use tokio::{io::AsyncWriteExt as _, time::timeout};

use super::{
    HOST, LONG, Message, OURS, Script, answer_to, fill, judge,
    messages::{ANSWERS, REQUESTS},
    parts, step,
};
use crate::support::{
    client::{Client, Parts},
    pki::{TRUSTED, Valid},
    proxy::{Builder, proxy},
    raw::{Raw, raw, raw_with},
};

/// Names in small letters with their values, a character a byte; sorted.
type Fields = Vec<(String, String)>;

/// A message whatever the version: what it asks for or says, its fields sorted by their names, body and trailers.
#[derive(Clone, Debug, Default, PartialEq)]
struct Spoken {
    begins: String,
    fields: Fields,
    body: Vec<u8>,
    trailers: Fields,
}

/// Lines of a head as fields; `Host` apart.
fn fields(lines: &[String]) -> (Fields, Option<String>) {
    let mut host = None;
    let mut fields = Vec::new();
    for line in lines {
        let (name, value) = line.split_once(':').expect("a field");
        let (name, value) = (name.to_ascii_lowercase(), value.trim_matches([' ', '\t']));
        if name == "host" {
            host = Some(value.to_owned());
        } else {
            fields.push((name, value.to_owned()));
        }
    }
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    (fields, host)
}

fn of_map(map: &HeaderMap) -> Fields {
    let of_hop = |name: &&HeaderName| !OURS.contains(&name.as_str());
    let names = map.keys().filter(of_hop);
    let mut fields: Vec<_> = names
        .flat_map(|name| map.get_all(name).iter().map(move |value| (name, value)))
        .map(|(name, value)| {
            let value = value.as_bytes().iter().map(|byte| char::from(*byte));
            (name.to_string(), value.collect())
        })
        .collect();
    fields.sort_by(|one, other| one.0.cmp(&other.0));
    fields
}

fn to_map(fields: &Fields) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in fields {
        let name: HeaderName = name.parse().expect("a name");
        let value: Vec<u8> = value.chars().map(|c| c as u8).collect();
        map.append(name, HeaderValue::from_bytes(&value).expect("a value"));
    }
    map
}

impl From<Message> for Spoken {
    fn from(message: Message) -> Self {
        let (first, lines) = message.head.split_first().expect("a first line");
        let (fields, host) = fields(lines);
        let (start, rest) = first.split_once(' ').expect("two words");
        let begins = match start.strip_prefix("HTTP/") {
            Some(_) => rest[..3].to_owned(),
            None => {
                let target = rest.strip_suffix(" HTTP/1.1").expect("a version");
                format!("{start} {} {target}", host.expect("a host"))
            }
        };
        Self {
            begins,
            fields,
            body: message.body,
            trailers: self::fields(&message.trailers).0,
        }
    }
}

/// A body that comes, and what is behind it.
async fn read(mut stream: RecvStream) -> Option<(Vec<u8>, Fields)> {
    let mut body = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece.ok()?;
        let _ = stream.flow_control().release_capacity(piece.len());
        body.extend_from_slice(&piece);
    }
    let trailers = stream.trailers().await.ok()?;
    Some((body, trailers.map_or_else(Vec::new, |map| of_map(&map))))
}

fn write(mut stream: SendStream<Bytes>, message: &Spoken) {
    let trailers = &message.trailers;
    let body = Bytes::from(message.body.clone());
    stream.send_data(body, trailers.is_empty()).expect("sent");
    if !trailers.is_empty() {
        stream.send_trailers(to_map(trailers)).expect("sent");
    }
}

/// What an origin on HTTP/2 says next, and what it got.
#[derive(Default)]
struct Play {
    answer: Mutex<Spoken>,
    got: Mutex<Option<Spoken>>,
}

async fn origin(play: Arc<Play>) -> Raw {
    let config = TRUSTED.issue(&[HOST], Valid::Now).server_config(&["h2"]);
    raw_with(HOST, config, move |io, _| {
        let play = play.clone();
        async move {
            let Ok(mut connection) = server::handshake(io).await else {
                return;
            };
            while let Some(Ok((request, respond))) = connection.accept().await {
                // Whoever accepts drives the bodies too.
                tokio::spawn(converse(request, respond, play.clone()));
            }
        }
    })
    .await
}

async fn converse(
    request: Request<RecvStream>,
    mut respond: server::SendResponse<Bytes>,
    play: Arc<Play>,
) {
    let (head, body) = request.into_parts();
    let Some((body, trailers)) = read(body).await else {
        return;
    };
    let target = head.uri.path_and_query().map_or("", |path| path.as_str());
    let host = head.uri.authority().map_or("", |host| host.as_str());
    *play.got.lock().unwrap() = Some(Spoken {
        begins: format!("{} {host} {target}", head.method),
        fields: of_map(&head.headers),
        body,
        trailers,
    });
    let answer = play.answer.lock().unwrap().clone();
    let mut response = Response::new(());
    *response.status_mut() = answer.begins.parse().expect("a status");
    *response.headers_mut() = to_map(&answer.fields);
    let ends = answer.body.is_empty() && answer.trailers.is_empty();
    // The proxy may have given it up.
    if let Ok(stream) = respond.send_response(response, ends)
        && !ends
    {
        write(stream, &answer);
    }
}

/// Sends a request over HTTP/2 on a connection of its own.
async fn ask(client: &Client, request: &Spoken) -> Option<Spoken> {
    let parts = Parts {
        h2: true,
        ..parts()
    };
    let io = client.stream(&parts).await.expect("a connection");
    let (mut sender, connection) = client::handshake(io).await.expect("HTTP/2");
    let connection = tokio::spawn(connection);
    let mut words = request.begins.splitn(3, ' ');
    let (method, host, target) = (words.next()?, words.next()?, words.next()?);
    let head = Request::builder().method(method);
    let mut head = head
        .uri(format!("https://{host}{target}"))
        .body(())
        .unwrap();
    *head.headers_mut() = to_map(&request.fields);
    if !request.trailers.is_empty() {
        let trailers = HeaderValue::from_static("trailers");
        head.headers_mut().insert("te", trailers);
    }
    let ends = request.body.is_empty() && request.trailers.is_empty();
    let (answer, stream) = sender.send_request(head, ends).expect("sent");
    if !ends {
        write(stream, request);
    }
    let (head, body) = answer.await.ok()?.into_parts();
    let (body, trailers) = read(body).await?;
    connection.abort();
    Some(Spoken {
        begins: head.status.as_str().to_owned(),
        fields: of_map(&head.headers),
        body,
        trailers,
    })
}

async fn ask_http1(client: &Client, request: &[u8]) -> Option<Spoken> {
    let mut wire = client.stream(&parts()).await.expect("a connection");
    wire.write_all(request).await.unwrap();
    wire.flush().await.unwrap();
    let head_only = request.starts_with(b"HEAD ");
    Message::read(&mut wire, head_only).await.map(Spoken::from)
}

fn before(origin: &Raw) -> Builder {
    let builder = proxy().raw(origin).level("warn");
    builder.bearer("app", HOST, "t1")
}

/// The versions of the client's connection and of the origin's.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Legs {
    H2H1,
    H2H2,
    H1H2,
}

#[tokio::test(flavor = "multi_thread")]
async fn ordinary_exchanges_over_http2_are_the_same() {
    let (script, play) = (Arc::<Script>::default(), Arc::<Play>::default());
    let told = script.clone();
    let old = raw(HOST, move |io, _| told.clone().play(io)).await;
    let new = origin(play.clone()).await;
    for legs in [Legs::H2H1, Legs::H2H2, Legs::H1H2] {
        let to = if legs == Legs::H2H1 { &old } else { &new };
        let proxy = before(to).start().await;
        let client = proxy.client();
        let step = step(8);
        let (mut count, mut wrong) = (0, Vec::new());
        // A client's library here has no form for the server as a whole.
        let requests = REQUESTS
            .iter()
            .filter(|(name, _)| legs == Legs::H1H2 || *name != "OPTIONS");
        for (number, (request_name, request)) in requests.enumerate() {
            let request = fill(request);
            for (answer_name, answer) in ANSWERS.iter().skip(number % step).step_by(step) {
                let answer = answer_to(&request, answer);
                let head_only = request.starts_with(b"HEAD ");
                let sent = Message::read(&mut &request[..], false).await;
                let said = Message::read(&mut &answer[..], head_only).await;
                let sent = Spoken::from(sent.expect("a request"));
                let said = Spoken::from(said.expect("an answer"));
                *script.answer.lock().unwrap() = answer;
                *play.answer.lock().unwrap() = said.clone();
                let asked = async {
                    match legs {
                        Legs::H1H2 => ask_http1(&client, &request).await,
                        Legs::H2H1 | Legs::H2H2 => ask(&client, &sent).await,
                    }
                };
                let got = timeout(LONG, asked).await;
                let got = got.unwrap_or_else(|_| panic!("{legs:?}: {request_name}, {answer_name}"));
                let arrived = match legs {
                    Legs::H2H1 => script.got.lock().unwrap().take().map(Spoken::from),
                    Legs::H2H2 | Legs::H1H2 => play.got.lock().unwrap().take(),
                };
                count += 1;
                if (arrived.as_ref(), got.as_ref()) != (Some(&sent), Some(&said)) {
                    wrong.push(format!(
                        "{request_name}, {answer_name}:\n  {sent:?}\n  {arrived:?}\n  {said:?}\n  {got:?}"
                    ));
                }
            }
        }
        judge(&format!("{legs:?}"), &wrong, count, 0);
    }
}
