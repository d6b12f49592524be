//! Runtimes that have to be talked into it.

use std::fs;

use super::Place;

const NODE: &str = "
const https = require('https');
const http = require('http');
const get = (library, ...args) => new Promise((done, fail) =>
  library.get(...args, (answer) => {
    let text = '';
    answer.on('data', (part) => text += part).on('end', () => done(text));
  }).on('error', fail));
(async () => {
  let out = '';
  for (let n = 0; n < 2; n++) out += await (await fetch('https://mock.example/fetch' + n)).text();
  out += await (await fetch('http://mock.example/plain')).text();
  out += await get(https, 'https://mock.example/https');
  out += await get(http, 'http://mock.example:8000/http');
  out += await get(https, { host: 'mock.example', path: '/own', agent: new https.Agent({ keepAlive: true }) });
  await fetch('https://down.example/').catch(() => out += 'fetch failed\\n');
  await get(https, 'https://down.example/').catch((error) => out += error.message + '\\n');
  process.stdout.write(out);
})().catch((error) => { console.error(error, error.cause); process.exit(1); });
";

#[tokio::test]
async fn node() {
    for login in [false, true] {
        let place = Place::new(login).await;
        let check = move || {
            fs::write(place.home().join("a.js"), NODE).unwrap();
            let said = place.succeeds(&["node", "a.js"]);
            let expected = "tls GET /fetch0 mock.example\n\
                tls GET /fetch1 mock.example\n\
                plain GET /plain mock.example\n\
                tls GET /https mock.example\n\
                plain GET /http mock.example:8000\n\
                tls GET /own mock.example\n\
                fetch failed\n\
                the proxy answered CONNECT down.example:443 with 502\n";
            assert_eq!(said, expected);
        };
        tokio::task::spawn_blocking(check).await.unwrap();
    }
}

#[tokio::test]
async fn java() {
    const SOURCE: &str = "
        public class A {
            public static void main(String[] args) throws Exception {
                var stream = new java.net.URL(args[0]).openStream();
                System.out.print(new String(stream.readAllBytes()));
            }
        }";
    // Java has no login for proxies that a variable could give.
    let place = Place::new(false).await;
    let check = move || {
        fs::write(place.home().join("A.java"), SOURCE).unwrap();
        let said = place.succeeds(&["java", "A.java", "https://mock.example/file"]);
        assert_eq!(said, "tls GET /file mock.example\n");
    };
    tokio::task::spawn_blocking(check).await.unwrap();
}
