//! The e-book library: its session is a cookie that changes with every answer, and a value that comes again after its
//! successor was used looks stolen.

use std::sync::{Arc, Mutex};

use http::{Request, StatusCode, header};
use hyper::body::Incoming;
use serde_json::json;

use super::{jwt, now};
use crate::support::{
    canary::canary,
    origin::{self, Builder, Reply, full},
    routes,
};

pub const HOST: &str = "learning.oreilly.com";
pub const API: &str = "api.oreilly.com";

#[derive(Clone)]
pub struct Library(Arc<Mutex<State>>);

pub struct State {
    /// All values of `orm-jwt`, the oldest first.
    pub values: Vec<String>,
    /// The cookie that signs in anew.
    pub lasting: String,
    pub ended: bool,
    /// Values that came again after their successor had been used.
    pub reused: Vec<String>,
    /// Requests with another value than the newest: somebody has lost what the last answer set.
    pub behind: Vec<String>,
    /// Requests without exactly one `orm-jwt` and one `orm-rt`.
    pub faults: Vec<String>,
    /// How many times somebody signed in anew.
    pub renewed: u64,
    /// What happens to the next requests below a path.
    pub tricks: Vec<(&'static str, Trick)>,
    /// The last answer was none: somebody may just be renewing the session.
    pub troubled: bool,
    pub asked: Vec<String>,
    /// How the answers set the cookie; `{}` is its value.
    pub set_cookie: String,
    pub style: Option<String>,
}

/// An answer that is none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Trick {
    Unauthorized,
    Forbidden,
    ToLogin,
    LoginPage,
    /// A page that only a script makes one of.
    Script,
    Truncated,
}

impl Library {
    pub fn new() -> Self {
        let library = Self(Arc::new(Mutex::new(State {
            values: Vec::new(),
            lasting: canary("orm-rt"),
            ended: false,
            reused: Vec::new(),
            behind: Vec::new(),
            faults: Vec::new(),
            renewed: 0,
            tricks: Vec::new(),
            troubled: false,
            asked: Vec::new(),
            set_cookie: "orm-jwt={}; Max-Age=899.5; Domain=.oreilly.com; Path=/; Secure; HttpOnly"
                .to_owned(),
            style: None,
        })));
        library.with(State::rotate);
        library
    }

    pub fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    /// What a browser that is signed in would export.
    pub fn cookies_json(&self) -> String {
        self.with(|state| {
            json!({ "orm-jwt": state.values.last(), "orm-rt": state.lasting, "BrowserCookie": "b" })
        })
        .to_string()
    }

    pub fn site(&self) -> Builder {
        let this = self.clone();
        origin::origin(&[HOST, API]).handler(move |request| {
            let this = this.clone();
            async move { Ok(this.with(|state| state.answer(&request))) }
        })
    }
}

impl State {
    fn rotate(&mut self) {
        let number = self.values.len();
        let token =
            json!({ "iat": now(), "exp": now() + 899, "n": number, "jti": canary("orm-jwt") });
        self.values.push(jwt(&token));
    }

    fn answer(&mut self, request: &Request<Incoming>) -> Reply {
        let path = request.uri().path().to_owned();
        self.asked.push(path.clone());
        let cookies = cookies(request);
        let of = |name: &str| {
            let all = cookies.iter().filter(|(known, _)| known == name);
            all.map(|(_, value)| value.as_str()).collect::<Vec<_>>()
        };
        let (tokens, lasting) = (of("orm-jwt"), of("orm-rt"));
        if tokens.len() != 1 || lasting != [self.lasting.as_str()] {
            self.faults.push(format!("{path}: {cookies:?}"));
        }
        if path == "/home/" && lasting == [self.lasting.as_str()] {
            (self.ended, self.renewed) = (false, self.renewed + 1);
            self.rotate();
            return self.with_cookie(routes::html("<html><body>home</body></html>"));
        }
        let newest = self.values.len() - 1;
        let held = tokens
            .first()
            .and_then(|token| self.values.iter().rposition(|known| known == token));
        if held != Some(newest) {
            self.behind.push(format!("{path}: {held:?} of {newest}"));
        }
        if let Some(held) = held
            && held + 1 < newest
        {
            self.reused.push(format!("{path}: {held} of {newest}"));
            self.ended = true;
        }
        self.troubled = true;
        if self.ended || held.is_none() {
            return routes::unauthorized();
        }
        if let Some(at) = self
            .tricks
            .iter()
            .position(|(below, _)| path.contains(below))
        {
            let (_, trick) = self.tricks.remove(at);
            return trick.answer();
        }
        let reply = page(&path, self.style.as_deref());
        self.troubled = false;
        self.rotate();
        self.with_cookie(reply)
    }

    fn with_cookie(&self, mut reply: Reply) -> Reply {
        let value = self.values.last().expect("one at least");
        for line in self.set_cookie.split('\n') {
            let line = line.replace("{}", value).parse().unwrap();
            reply.headers_mut().append(header::SET_COOKIE, line);
        }
        reply
    }
}

impl Trick {
    fn answer(self) -> Reply {
        match self {
            Self::Unauthorized => routes::unauthorized(),
            Self::Forbidden => routes::json(
                403,
                &json!({ "detail": "Authentication credentials were not provided." }),
            ),
            Self::ToLogin => {
                let mut reply = routes::reply(StatusCode::FOUND, full(""));
                let to = "https://www.oreilly.com/member/login/?next=/home/";
                reply
                    .headers_mut()
                    .insert(header::LOCATION, to.parse().unwrap());
                reply
            }
            Self::LoginPage => routes::html(
                "<html><form method=post action=\"/member/auth/login/\"></form></html>",
            ),
            Self::Script => routes::html(
                "<!doctype html><html><head><script src=\"/app.js\"></script></head><body><div id=root></div></body></html>",
            ),
            Self::Truncated => routes::html(
                "<html><body><p>It was a dark</p><p>Get <i>A Book</i> now with the O’Reilly learning platform.</p></html>",
            ),
        }
    }
}

fn page(path: &str, style: Option<&str>) -> Reply {
    let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    match parts[..] {
        ["api", "v1", "book", number, "chapter"] => {
            let page = |n| json!({ "content": format!("https://{HOST}/api/v2/epubs/urn:orm:book:{number}/files/{n}.html") });
            routes::json(
                200,
                &json!({ "count": 2, "next": null, "results": [page(1), page(2)] }),
            )
        }
        ["api", "v1", "book", _, "chapter", _] | ["api", "v2", "search"] => {
            routes::json(200, &json!({ "title": "1" }))
        }
        ["api", "v1", "book", number] => {
            let styles: Vec<_> = style.into_iter().collect();
            routes::json(
                200,
                &json!({ "title": number, "identifier": number, "stylesheets": styles }),
            )
        }
        ["api", "v2", "epubs", ..] | ["api", "v1", "book", _, "chapter-content", ..] => {
            routes::html(
                "<html><body><div id=\"sbo-rt-content\">a whole chapter</div></body></html>",
            )
        }
        _ => routes::html("<html><body>welcome</body></html>"),
    }
}

/// The cookies of a request, in their order.
fn cookies(request: &Request<Incoming>) -> Vec<(String, String)> {
    let lines = request.headers().get_all(header::COOKIE).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split("; "))
        .filter_map(|pair| pair.split_once('='))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}
