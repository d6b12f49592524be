use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;

const PING: u8 = 6;
const WINDOW_UPDATE: u8 = 8;

fn frame(kind: u8, length: usize) -> Vec<u8> {
    let mut frame = vec![0; HEAD + length];
    frame[1..3].copy_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
    frame[3] = kind;
    frame
}

/// Takes what came behind what is there of a head; `false`: the account is empty.
fn look(calm: &mut Calm<()>, bytes: &[u8]) -> bool {
    let mut all = [&calm.head[..calm.have], bytes].concat();
    calm.look(&mut all).is_some()
}

/// How many turns of these frames a connection takes, when each makes us write so many bytes.
fn turns(kinds: &[(u8, usize)], writes: usize) -> usize {
    let mut calm = Calm::of_client((), Inbox::default());
    assert!(look(&mut calm, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"));
    let turn: Vec<u8> = kinds
        .iter()
        .flat_map(|(kind, length)| frame(*kind, *length))
        .collect();
    let turn = |calm: &mut Calm<()>| {
        calm.account.write(writes);
        // However it is cut up.
        turn.chunks(7).all(|bytes| look(calm, bytes))
    };
    (0..20_000).take_while(|_| turn(&mut calm)).count()
}

#[tokio::test(start_paused = true)]
async fn floods_end_and_work_goes_on() {
    let endless = 20_000;
    for (name, kinds, writes, least, most) in [
        ("requests", &[(HEADERS, 30)][..], 0, endless, endless),
        ("an upload", &[(DATA, 16000)], 0, endless, endless),
        (
            "a download",
            &[(WINDOW_UPDATE, 4), (WINDOW_UPDATE, 4)],
            4096,
            endless,
            endless,
        ),
        (
            "small messages",
            &[(PING, 8), (WINDOW_UPDATE, 4)],
            64,
            endless,
            endless,
        ),
        (
            "requests of which half are taken back",
            &[(HEADERS, 30), (HEADERS, 30), (RST_STREAM, 4)],
            40,
            endless,
            endless,
        ),
        ("pings", &[(PING, 8)], 17, 4096, 10_000),
        ("settings", &[(4, 0)], 9, 4096, 6_000),
        ("empty data", &[(DATA, 0)], 0, 4096, 4096),
        (
            "requests that are taken back",
            &[(HEADERS, 30), (RST_STREAM, 4)],
            0,
            2000,
            2100,
        ),
        ("frames of no known kind", &[(0xbe, 300)], 0, 4096, 4096),
    ] {
        let turns = turns(kinds, writes);
        assert!((least..=most).contains(&turns), "{name}: {turns}");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_end_and_informational_ones_do_not() {
    let ended = |kind| {
        let mut frame = frame(kind, 9);
        frame[4] = END_STREAM;
        frame
    };
    let answer = [frame(HEADERS, 9), frame(DATA, 100), ended(DATA)].concat();
    let call = [frame(HEADERS, 9), frame(DATA, 100), ended(HEADERS)].concat();
    for (frames, most) in [
        (answer, 20_000),
        (call, 20_000),
        (ended(HEADERS), 20_000),
        (frame(HEADERS, 9), 4096),
    ] {
        let mut calm = Calm::of_server((), Inbox::default(), Arc::default());
        assert_eq!(
            (0..20_000).take_while(|_| look(&mut calm, &frames)).count(),
            most
        );
    }
}

#[tokio::test(start_paused = true)]
async fn time_fills_the_account() {
    let mut calm = Calm::of_client((), Inbox::default());
    calm.skip = 0;
    while look(&mut calm, &frame(PING, 8)) {}
    tokio::time::sleep(Duration::from_secs(1)).await;
    let paid = (0..1000)
        .take_while(|_| look(&mut calm, &frame(PING, 8)))
        .count();
    assert_eq!(paid, 100);
}

/// However what comes is cut up, and whatever room there is for it: what says nothing is left out, and nothing else.
#[tokio::test(start_paused = true)]
async fn empty_data_goes_no_further() {
    let on = |stream: u8, mut frame: Vec<u8>| {
        frame[8] = stream;
        frame
    };
    let flagged = |flags: u8, mut frame: Vec<u8>| {
        frame[4] = flags;
        frame
    };
    let empty = || on(1, frame(DATA, 0));
    let padded = [flagged(PADDED, on(1, frame(DATA, 1))), empty()].concat();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    // What comes, and whether it goes on.
    let parts = [
        (preface, true),
        (flagged(END_HEADERS, on(1, frame(HEADERS, 20))), true),
        (empty(), false),
        (on(1, frame(DATA, 30)), true),
        ([empty(), empty(), empty()].concat(), false),
        (padded[..HEAD + 1].to_vec(), true),
        (padded[HEAD + 1..].to_vec(), false),
        (on(3, frame(HEADERS, 20)), true),
        // Within a block of fields, and on no stream: the library ends the connection.
        (on(1, frame(DATA, 0)), true),
        (flagged(END_HEADERS, on(3, frame(CONTINUATION, 5))), true),
        (frame(DATA, 0), true),
        (empty(), false),
        (flagged(END_STREAM, on(1, frame(DATA, 0))), true),
        // Cut off.
        (frame(PING, 8)[..5].to_vec(), true),
    ];
    let all: Vec<u8> = parts.iter().flat_map(|(bytes, _)| bytes.clone()).collect();
    let passed = parts.iter().filter(|(_, goes_on)| *goes_on);
    let passed: Vec<u8> = passed.flat_map(|(bytes, _)| bytes.clone()).collect();
    for piece in [1, 2, 7, 9, 10, 64, 1000] {
        for room in [1, 3, 8, 9, 10, 17, 500] {
            let (mut far, near) = duplex(piece);
            let all = all.clone();
            let sends = tokio::spawn(async move { far.write_all(&all).await });
            let mut calm = Calm::of_client(near, Inbox::default());
            let (mut got, mut buffer) = (Vec::new(), vec![0; room]);
            while let n @ 1.. = calm.read(&mut buffer).await.unwrap() {
                got.extend_from_slice(&buffer[..n]);
            }
            assert_eq!(got, passed, "{piece} {room}");
            sends.await.unwrap().unwrap();
        }
    }
}

#[tokio::test(start_paused = true)]
async fn any_number_of_empty_data_goes_by_in_time() {
    let (mut far, near) = duplex(1 << 16);
    let sends = tokio::spawn(async move {
        let mut sent = 0;
        let mut empty = frame(DATA, 0);
        empty[8] = 1;
        while far.write_all(&empty).await.is_ok() {
            sent += 1;
            if sent == 10_000 {
                // Nobody reads this many at once.
                return far.write_all(&frame(PING, 8)).await.is_ok();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    });
    let mut calm = Calm::of_server(near, Inbox::default(), Arc::default());
    let mut got = [0; 100];
    assert_eq!(calm.read(&mut got).await.unwrap(), HEAD + 8);
    assert!(sends.await.unwrap());
}
